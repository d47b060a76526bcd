"""Rules of ModelGate: compare measurements with the thresholds of the recipe."""

from collections.abc import Iterator

from components.evaluation.config import EvaluationConfig, slice_name
from components.evaluation.gate.verdict import Ruling, Verdict
from components.evaluation.results import ACCURACY, Evaluation, ModelResult
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
    rulings = [
        *_accuracy_rules(evaluation, config),
        *_serving(measurements),
        *_infra_validation(infra_validated),
        *_limits(measurements, config),
    ]
    return Verdict(rulings=tuple(rulings))


def _accuracy_rules(evaluation: Evaluation, config: EvaluationConfig) -> Iterator[Ruling]:
    accuracy = evaluation.candidate.overall.metrics[ACCURACY].value
    if accuracy is None:
        reason = 'predictions are NaN, as after a diverged training'
        yield Ruling(rule=ANSWERS, passed=False, reason=reason)
        return
    yield Ruling(rule=ANSWERS, passed=True, reason='predictions are finite')
    yield _one_class(evaluation)
    threshold, count = config.baseline_accuracy, f'(n={evaluation.candidate.overall.images})'
    reason = f'accuracy {format_apart(accuracy, threshold)}, baseline {_exact(threshold)} {count}'
    yield Ruling(rule=BASELINE, passed=accuracy >= threshold, reason=reason)
    yield _drop(accuracy, evaluation.baseline, config.max_drop, count)
    yield from _floors(evaluation.candidate, config)


def _one_class(evaluation: Evaluation) -> Ruling:
    confusion, classes = evaluation.candidate.confusion, evaluation.classes
    present = [name for name, row in zip(classes, confusion, strict=True) if any(row)]
    columns = zip(*confusion, strict=True)
    predicted = [name for name, column in zip(classes, columns, strict=True) if any(column)]
    passed: bool | None = len(predicted) > 1
    if len(present) < 2:
        passed, reason = None, f'not applicable: the test split has only images of {present[0]}'
    elif passed:
        reason = f'predicts {len(predicted)} of {len(classes)} classes'
    else:
        reason = f'predicts {predicted[0]} for every image; test has {len(present)} classes'
    return Ruling(rule=ONE_CLASS, passed=passed, reason=reason)


def _drop(accuracy: float, previous: ModelResult | None, max_drop: float, count: str) -> Ruling:
    before = previous.overall.metrics[ACCURACY].value if previous else None
    if before is None:
        reason = 'no previous blessed model to compare with'
        if previous:
            reason = 'the last blessed model predicts NaN on these images; not compared'
        return Ruling(rule=DROP, passed=None, reason=reason)
    reason = (
        f'accuracy {format_apart(accuracy, before)}, last blessed model '
        f'{format_apart(before, accuracy)} on the same images, '
        f'maximum drop {_exact(max_drop)} {count}'
    )
    return Ruling(rule=DROP, passed=before - accuracy <= max_drop + _ROUNDING, reason=reason)


def _floors(candidate: ModelResult, config: EvaluationConfig) -> Iterator[Ruling]:
    """A ruling per slice with a floor, then one per floor without a slice.

    The floor of a slice overrides that of its feature.
    """
    unused = set(config.floors)
    for each in candidate.slices:
        key = f'{each.feature}.{each.name}'
        unused -= {key, each.feature}
        floor = config.floors.get(key, config.floors.get(each.feature))
        if floor is None:
            continue
        accuracy = each.metrics[ACCURACY].value
        assert accuracy is not None  # all predictions are finite
        passed: bool | None = accuracy >= floor
        reason = (
            f'accuracy on {slice_name(each.feature, each.name)} {format_apart(accuracy, floor)}, '
            f'floor {_exact(floor)} (n={each.images})'
        )
        if each.images < config.min_images:
            passed, reason = None, f'{reason}; not enforced below {config.min_images} images'
        yield Ruling(rule=FLOOR, passed=passed, reason=reason)
    for key in sorted(unused):
        feature, _, name = key.partition('.')
        images = slice_name(feature, name) if name else f'slices by {feature}'
        floor = _exact(config.floors[key])
        reason = f'the test split has no {images}; floor {floor} not enforced'
        yield Ruling(rule=FLOOR, passed=None, reason=reason)


def _serving(measurements: Measurements) -> Iterator[Ruling]:
    for problem in measurements.problems:
        yield Ruling(rule=SERVING, passed=False, reason=problem)
    if not measurements.problems:
        count = len(measurements.checks)
        reason = f'{count} serving check{"s" * (count != 1)} passed'
        yield Ruling(rule=SERVING, passed=True, reason=reason)


def _infra_validation(validated: bool | None) -> Iterator[Ruling]:
    if validated is not None:
        verb = 'loaded' if validated else 'did not load'
        reason = f'InfraValidator: the model server {verb} the model'
        yield Ruling(rule=INFRA_VALIDATOR, passed=validated, reason=reason)


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
    while digits < 9 and value != other:
        rounded = round(value, digits)
        if rounded != other and (rounded > other) == (value > other):
            break
        digits += 1
    return f'{value:.{digits}f}'


def _exact(threshold: float) -> str:
    """All digits of the recipe's value, at least two decimals."""
    return max(f'{threshold:.2f}', f'{threshold:.10g}', key=len)
