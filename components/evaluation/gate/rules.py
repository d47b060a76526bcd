"""The rules of the gate: what was measured, against what the recipe asks for. Imports no TFX."""

from collections.abc import Iterator

from components.evaluation.config import CLASS, SOURCE, EvaluationConfig
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
_ROUNDING = 1e-9  # of the difference of two shares
_MIDDLE = 'medium'  # a slice that needs the name of what is measured


def judge(
    evaluation: Evaluation,
    measurements: Measurements,
    config: EvaluationConfig,
    infra_validated: bool | None = None,
) -> Verdict:
    """What every rule says of a candidate.

    Args:
        evaluation: of the candidate, and of the last blessed model on the same images.
        measurements: of the serving check.
        config: what the recipe asks for.
        infra_validated: what TFX's InfraValidator found; None if it is switched off.
    """
    candidate = evaluation.candidate
    answers = _answers(candidate)
    rulings = [answers]
    if answers.passed:  # else accuracies are those of nothing
        rulings += [
            _one_class(evaluation),
            _baseline(candidate, config.baseline_accuracy),
            _drop(evaluation, config.max_drop),
            *_floors(candidate, config),
        ]
    rulings += _serving(measurements)
    if infra_validated is not None:
        rulings.append(_infra_validator(infra_validated))
    return Verdict(rulings=(*rulings, *_limits(measurements, config)))


def words_of_slice(feature: str, name: str) -> str:
    """The images of a slice, as a person calls them: `dark images`, `images of cats`."""
    if feature == CLASS:
        return f'images of {name}'
    if feature == SOURCE:
        return f'images from {name}'
    return f'images of {name} {feature}' if name == _MIDDLE else f'{name} images'


def answers_numbers(model: ModelResult) -> bool:
    """Whether a model answers with probabilities: of one NaN among them, these means are NaN."""
    metrics = model.overall.metrics
    return all(
        metrics[key].value is not None for key in (ACCURACY, LOG_LOSS, BRIER) if key in metrics
    )


def _answers(candidate: ModelResult) -> Ruling:
    if not candidate.overall.images:
        return Ruling(rule=ANSWERS, passed=False, reason='there are no test images to judge it by')
    if answers_numbers(candidate):
        return Ruling(rule=ANSWERS, passed=True, reason='its answers are numbers')
    reason = 'its answers are not numbers (NaN), as those of a training that diverged'
    return Ruling(rule=ANSWERS, passed=False, reason=reason)


def _one_class(evaluation: Evaluation) -> Ruling:
    confusion, classes = evaluation.candidate.confusion, evaluation.classes
    said = [
        name
        for name, column in zip(classes, zip(*confusion, strict=True), strict=True)
        if any(column)
    ]
    there = [name for name, row in zip(classes, confusion, strict=True) if any(row)]
    if len(there) < 2:
        reason = f'test has images of {there[0]} alone, so nobody sees if it tells classes apart'
        return Ruling(rule=ONE_CLASS, passed=None, reason=reason)
    if len(said) > 1:
        reason = f'it says {len(said)} of {len(classes)} classes'
        return Ruling(rule=ONE_CLASS, passed=True, reason=reason)
    reason = f'it says {said[0]} for every image, and test has {len(there)} classes'
    return Ruling(rule=ONE_CLASS, passed=False, reason=reason)


def _baseline(candidate: ModelResult, wanted: float) -> Ruling:
    overall = candidate.overall
    accuracy = _accuracy(overall)
    reason = f'accuracy {beside(accuracy, wanted)}, baseline {_bound(wanted)} (n={overall.images})'
    return Ruling(rule=BASELINE, passed=accuracy >= wanted, reason=reason)


def _drop(evaluation: Evaluation, allowed: float) -> Ruling:
    before = evaluation.baseline
    if before is None:
        reason = 'there is no blessed model before to compare it with'
        return Ruling(rule=DROP, passed=None, reason=reason)
    if not answers_numbers(before):
        reason = 'the last blessed model answers NaN on these images: they are not compared'
        return Ruling(rule=DROP, passed=None, reason=reason)
    overall = evaluation.candidate.overall
    now, then = _accuracy(overall), _accuracy(before.overall)
    may = f'it may be at most {_bound(allowed)} worse' if allowed else 'it may not be worse'
    reason = (
        f'accuracy {beside(now, then)}, last blessed model {beside(then, now)} on the same images, '
        f'{may} (n={overall.images})'
    )
    return Ruling(rule=DROP, passed=then - now <= allowed + _ROUNDING, reason=reason)


def _floors(candidate: ModelResult, config: EvaluationConfig) -> Iterator[Ruling]:
    """Of each slice that has a floor, then of each floor that has no slice."""
    for each in candidate.slices:
        key = _key(each, config.floors)
        if key is not None:
            yield _floor(each, config.floors[key], config.min_images)
    there = {
        name for each in candidate.slices for name in (each.feature, f'{each.feature}.{each.name}')
    }
    for key in sorted(set(config.floors) - there):
        yield _unused(key, config.floors[key])


def _key(of: SliceResult, floors: dict[str, float]) -> str | None:
    """The floor that binds a slice: its own, or that of all slices by the same feature."""
    return next((key for key in (f'{of.feature}.{of.name}', of.feature) if key in floors), None)


def _floor(of: SliceResult, wanted: float, fewest: int) -> Ruling:
    accuracy, words = of.metrics[ACCURACY].value, words_of_slice(of.feature, of.name)
    shown = 'none' if accuracy is None else beside(accuracy, wanted)
    reason = f'accuracy on {words} {shown}, floor {_bound(wanted)} (n={of.images})'
    if accuracy is None or of.images < fewest:
        reason += f': no vote below {fewest} images'
        return Ruling(rule=FLOOR, passed=None, reason=reason)
    return Ruling(rule=FLOOR, passed=accuracy >= wanted, reason=reason)


def _unused(key: str, wanted: float) -> Ruling:
    feature, _, name = key.partition('.')
    what = words_of_slice(feature, name) if name else f'any slice by {feature}'
    reason = f'nothing was measured on {what}: the floor {_bound(wanted)} has no vote'
    return Ruling(rule=FLOOR, passed=None, reason=reason)


def _serving(measurements: Measurements) -> list[Ruling]:
    if measurements.problems:
        return [Ruling(rule=SERVING, passed=False, reason=each) for each in measurements.problems]
    count = len(measurements.checks)
    reason = f'it serves: {count} check{"s" * (count != 1)} of the SavedModel in a fresh process'
    return [Ruling(rule=SERVING, passed=True, reason=reason)]


def _infra_validator(passed: bool) -> Ruling:
    said = 'a model server loads it' if passed else 'no model server could load it'
    return Ruling(rule=INFRA_VALIDATOR, passed=passed, reason=f'{said}, as InfraValidator found')


def _limits(measurements: Measurements, config: EvaluationConfig) -> Iterator[Ruling]:
    """Of those that the recipe gives."""
    if (limit := config.max_megabytes) is not None:
        size = measurements.size_mb
        reason = f'the SavedModel has {beside(size, limit, 1)} MB, limit {limit:g} MB'
        yield Ruling(rule=SIZE, passed=size <= limit, reason=reason)
    if (limit := config.max_latency_ms) is not None:
        latency = measurements.latency_ms
        shown = 'was not measured' if latency is None else f'{beside(latency, limit, 1)} ms'
        reason = f'latency of one image on one core {shown}, limit {limit:g} ms'
        yield Ruling(rule=LATENCY, passed=latency is not None and latency <= limit, reason=reason)


def beside(value: float, other: float, digits: int = 3) -> str:
    """A number with as many digits as show on which side of another one it lies."""
    while digits < 9 and value != other and _same_side(value, other, digits):
        digits += 1
    return f'{value:.{digits}f}'


def _same_side(value: float, other: float, digits: int) -> bool:
    """Whether rounding would hide which of the two is larger."""
    rounded = round(value, digits)
    return rounded == other or (rounded > other) != (value > other)


def _bound(value: float) -> str:
    """What a recipe asks for, in its own digits, and at least two of them."""
    return max(f'{value:.2f}', f'{value:.10g}', key=len)


def _accuracy(of: SliceResult) -> float:
    value = of.metrics[ACCURACY].value
    assert value is not None  # answers are numbers, and there are images
    return value
