"""Rules of ModelGate: compare measurements with the thresholds of the recipe."""

from collections.abc import Iterator

from components.evaluation.config import EvaluationConfig, slice_name
from components.evaluation.gate.verdict import Ruling, Verdict
from components.evaluation.results import (
    ACCURACY,
    BRIER,
    LOG_LOSS,
    Evaluation,
    ModelResult,
    SliceResult,
)
from components.serving_check.measurements import Measurements

ANSWERS, ONE_CLASS, BASELINE, DROP, FLOOR = 'answers', 'one class', 'baseline', 'drop', 'floor'
SERVING, INFRA_VALIDATOR, SIZE, LATENCY = 'serving', 'infra validator', 'size', 'latency'
_ROUNDING = 1e-9  # tolerance for the difference of two shares


def apply_rules(
    evaluation: Evaluation,
    measurements: Measurements,
    config: EvaluationConfig,
    infra_validated: bool | None = None,
) -> Verdict:
    """Applies every rule to a candidate model.

    Args:
        evaluation: metrics of the candidate, and of the last blessed model on the same images.
        measurements: result of the serving check.
        config: thresholds.
        infra_validated: result of TFX's InfraValidator; None if it is disabled.
    """
    candidate = evaluation.candidate
    finite = _finite_predictions(candidate)
    rulings = [finite]
    if finite.passed:  # otherwise there is no accuracy
        rulings += [
            _one_class(evaluation),
            _baseline(candidate, config.baseline_accuracy),
            _drop(evaluation, config.max_drop),
            *_floors(candidate, config),
        ]
    rulings += _serving(measurements)
    if infra_validated is not None:
        verb = 'loaded' if infra_validated else 'did not load'
        reason = f'InfraValidator: the model server {verb} the model'
        rulings.append(Ruling(rule=INFRA_VALIDATOR, passed=infra_validated, reason=reason))
    return Verdict(rulings=(*rulings, *_limits(measurements, config)))


def _has_finite_predictions(model: ModelResult) -> bool:
    """Whether no prediction is NaN: a single one makes these means NaN."""
    metrics = model.overall.metrics
    return all(
        metrics[key].value is not None for key in (ACCURACY, LOG_LOSS, BRIER) if key in metrics
    )


def _finite_predictions(candidate: ModelResult) -> Ruling:
    if not candidate.overall.images:
        return Ruling(rule=ANSWERS, passed=False, reason='the test split has no images')
    if _has_finite_predictions(candidate):
        return Ruling(rule=ANSWERS, passed=True, reason='predictions are finite')
    reason = 'predictions are NaN, as after a diverged training'
    return Ruling(rule=ANSWERS, passed=False, reason=reason)


def _one_class(evaluation: Evaluation) -> Ruling:
    confusion, classes = evaluation.candidate.confusion, evaluation.classes
    present = [name for name, row in zip(classes, confusion, strict=True) if any(row)]
    columns = zip(*confusion, strict=True)
    predicted = [name for name, column in zip(classes, columns, strict=True) if any(column)]
    passed: bool | None
    if len(present) < 2:
        passed, reason = None, f'not applicable: the test split has only images of {present[0]}'
    elif len(predicted) > 1:
        passed, reason = True, f'predicts {len(predicted)} of {len(classes)} classes'
    else:
        passed = False
        reason = f'predicts {predicted[0]} for every image; test has {len(present)} classes'
    return Ruling(rule=ONE_CLASS, passed=passed, reason=reason)


def _baseline(candidate: ModelResult, threshold: float) -> Ruling:
    accuracy = _accuracy(candidate)
    reason = (
        f'accuracy {format_apart(accuracy, threshold)}, baseline {_format_threshold(threshold)} '
        f'(n={candidate.overall.images})'
    )
    return Ruling(rule=BASELINE, passed=accuracy >= threshold, reason=reason)


def _drop(evaluation: Evaluation, max_drop: float) -> Ruling:
    previous = evaluation.baseline
    if previous is None:
        return Ruling(rule=DROP, passed=None, reason='no previous blessed model to compare with')
    if not _has_finite_predictions(previous):
        reason = 'the last blessed model predicts NaN on these images; not compared'
        return Ruling(rule=DROP, passed=None, reason=reason)
    now, then = _accuracy(evaluation.candidate), _accuracy(previous)
    reason = (
        f'accuracy {format_apart(now, then)}, last blessed model {format_apart(then, now)} on the '
        f'same images, maximum drop {_format_threshold(max_drop)} '
        f'(n={evaluation.candidate.overall.images})'
    )
    return Ruling(rule=DROP, passed=then - now <= max_drop + _ROUNDING, reason=reason)


def _floors(candidate: ModelResult, config: EvaluationConfig) -> Iterator[Ruling]:
    """A ruling per slice with a floor, then one per floor without a slice.

    The floor of a slice overrides that of its feature.
    """
    unused = set(config.floors)
    for each in candidate.slices:
        keys = (f'{each.feature}.{each.name}', each.feature)
        unused.difference_update(keys)
        key = next((key for key in keys if key in config.floors), None)
        if key is not None:
            yield _floor(each, config.floors[key], config.min_images)
    for key in sorted(unused):
        feature, _, name = key.partition('.')
        images = slice_name(feature, name) if name else f'slices by {feature}'
        threshold = _format_threshold(config.floors[key])
        reason = f'the test split has no {images}; floor {threshold} not enforced'
        yield Ruling(rule=FLOOR, passed=None, reason=reason)


def _floor(result: SliceResult, threshold: float, min_images: int) -> Ruling:
    accuracy = result.metrics[ACCURACY].value
    shown = 'none' if accuracy is None else format_apart(accuracy, threshold)
    reason = (
        f'accuracy on {slice_name(result.feature, result.name)} {shown}, '
        f'floor {_format_threshold(threshold)} (n={result.images})'
    )
    if accuracy is None or result.images < min_images:
        reason += f'; not enforced below {min_images} images'
        return Ruling(rule=FLOOR, passed=None, reason=reason)
    return Ruling(rule=FLOOR, passed=accuracy >= threshold, reason=reason)


def _serving(measurements: Measurements) -> list[Ruling]:
    if measurements.problems:
        return [Ruling(rule=SERVING, passed=False, reason=each) for each in measurements.problems]
    count = len(measurements.checks)
    reason = f'{count} serving check{"s" * (count != 1)} passed'
    return [Ruling(rule=SERVING, passed=True, reason=reason)]


def _limits(measurements: Measurements, config: EvaluationConfig) -> Iterator[Ruling]:
    if (limit := config.max_megabytes) is not None:
        size = measurements.size_mb
        reason = f'SavedModel size {format_apart(size, limit, 1)} MB, limit {limit:g} MB'
        yield Ruling(rule=SIZE, passed=size <= limit, reason=reason)
    if (limit := config.max_latency_ms) is not None:
        latency = measurements.latency_ms
        shown = 'not measured' if latency is None else f'{format_apart(latency, limit, 1)} ms'
        reason = f'latency per image on one core {shown}, limit {limit:g} ms'
        yield Ruling(rule=LATENCY, passed=latency is not None and latency <= limit, reason=reason)


def format_apart(value: float, other: float, digits: int = 3) -> str:
    """Formats a number with enough digits to show whether it is above or below another."""
    while digits < 9 and value != other and _rounding_hides_order(value, other, digits):
        digits += 1
    return f'{value:.{digits}f}'


def _rounding_hides_order(value: float, other: float, digits: int) -> bool:
    rounded = round(value, digits)
    return rounded == other or (rounded > other) != (value > other)


def _format_threshold(value: float) -> str:
    """All digits of the recipe's value, at least two decimals."""
    return max(f'{value:.2f}', f'{value:.10g}', key=len)


def _accuracy(model: ModelResult) -> float:
    value = model.overall.metrics[ACCURACY].value
    assert value is not None  # predictions are finite, and there are images
    return value
