"""Rules of ModelGate: compare measurements with the thresholds of the recipe."""

import itertools
from collections.abc import Iterator

from components.evaluation.config import EvaluationConfig, slice_name
from components.evaluation.gate.verdict import Ruling, Verdict
from components.evaluation.results import ACCURACY, Evaluation, ModelResult
from components.serving_check.measurements import Measurements

FLOOR = 'floor'
_LATENCY = 'latency per image on one core'
_ROUNDING = 1e-9  # tolerance for the difference of two shares

_Rulings = Iterator[tuple[str, bool | None, str]]  # fields of Ruling


def apply_rules(
    evaluation: Evaluation, measurements: Measurements, config: EvaluationConfig
) -> Verdict:
    """Applies every rule to a candidate model."""
    rules = _predictions(evaluation, config), _serving(measurements), _limits(measurements, config)
    found = itertools.chain.from_iterable(rules)
    rulings = (Ruling(rule=rule, passed=passed, reason=reason) for rule, passed, reason in found)
    return Verdict(rulings=tuple(rulings))


def _predictions(evaluation: Evaluation, config: EvaluationConfig) -> _Rulings:
    overall = evaluation.candidate.overall
    accuracy, count = overall.metrics[ACCURACY].value, f'(n={overall.images})'
    if accuracy is None:
        yield 'finite', False, 'predictions are NaN, as after a diverged training'
        return
    yield 'finite', True, 'predictions are finite'
    yield 'one class', *_one_class(evaluation)
    threshold = config.baseline_accuracy
    shown = f'accuracy {_format_apart(accuracy, threshold)}, baseline {_exact(threshold)} {count}'
    yield 'baseline', accuracy >= threshold, shown
    yield 'drop', *_drop(accuracy, evaluation.baseline, config.max_drop, count)
    yield from _floors(evaluation.candidate, config)


def _one_class(evaluation: Evaluation) -> tuple[bool | None, str]:
    confusion, classes = evaluation.candidate.confusion, evaluation.classes
    present = [name for name, row in zip(classes, confusion, strict=True) if any(row)]
    columns = zip(*confusion, strict=True)
    predicted = [name for name, column in zip(classes, columns, strict=True) if any(column)]
    if len(present) < 2:
        return None, f'not applicable: the test split has only images of {present[0]}'
    if len(predicted) < 2:
        return False, f'predicts {predicted[0]} for every image; test has {len(present)} classes'
    return True, f'predicts {len(predicted)} of {len(classes)} classes'


def _drop(
    accuracy: float, previous: ModelResult | None, max_drop: float, count: str
) -> tuple[bool | None, str]:
    if previous is None:
        return None, 'no previous blessed model to compare with'
    before = previous.overall.metrics[ACCURACY].value
    if before is None:
        return None, 'the last blessed model predicts NaN on these images; not compared'
    return before - accuracy <= max_drop + _ROUNDING, (
        f'accuracy {_format_apart(accuracy, before)}, last blessed model '
        f'{_format_apart(before, accuracy)} on the same images, '
        f'maximum drop {_exact(max_drop)} {count}'
    )


def _floors(candidate: ModelResult, config: EvaluationConfig) -> _Rulings:
    """A ruling per slice with a floor, then one per floor without a slice.

    The floor of a slice overrides that of its feature.
    """
    unused = set(config.floors)
    for each in candidate.slices:
        key = f'{each.feature}.{each.name}'
        unused -= {key, each.feature}
        floor = config.floors.get(key, config.floors.get(each.feature))
        accuracy = each.metrics[ACCURACY].value
        if floor is None or accuracy is None:
            continue
        shown = (
            f'accuracy on {slice_name(each.feature, each.name)} {_format_apart(accuracy, floor)}, '
            f'floor {_exact(floor)} (n={each.images})'
        )
        if each.images < config.min_images:
            yield FLOOR, None, f'{shown}; not enforced below {config.min_images} images'
        else:
            yield FLOOR, accuracy >= floor, shown
    for key in sorted(unused):
        feature, _, name = key.partition('.')
        images = slice_name(feature, name) if name else f'slices by {feature}'
        floor = config.floors[key]
        yield FLOOR, None, f'the test split has no {images}; floor {_exact(floor)} not enforced'


def _serving(measurements: Measurements) -> _Rulings:
    for problem in measurements.problems:
        yield 'serving', False, problem
    if not measurements.problems:
        count = len(measurements.checks)
        yield 'serving', True, f'{count} serving check{"s" * (count != 1)} passed'


def _limits(measurements: Measurements, config: EvaluationConfig) -> _Rulings:
    limits = (
        ('size', 'SavedModel size', measurements.size_mb, config.max_megabytes, 'MB'),
        ('latency', _LATENCY, measurements.latency_ms, config.max_latency_ms, 'ms'),
    )
    for rule, name, value, limit, unit in limits:
        if limit is not None:
            shown = 'not measured' if value is None else f'{_format_apart(value, limit, 1)} {unit}'
            passed = value is not None and value <= limit
            yield rule, passed, f'{name} {shown}, limit {limit:g} {unit}'


def _format_apart(value: float, other: float, digits: int = 3) -> str:
    """Formats a number with enough digits to show whether it is above or below another."""
    while digits < 9 and value != other:
        rounded = round(value, digits)
        if rounded != other and (rounded > other) == (value > other):
            break
        digits += 1
    return f'{value:.{digits}f}'


def _exact(threshold: float) -> str:
    """Formats all digits of the recipe's value, at least two decimals."""
    return max(f'{threshold:.2f}', f'{threshold:.10g}', key=len)
