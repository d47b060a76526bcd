"""Rules of ModelGate: a candidate's measurements, limits of the recipe, the reference model.

`docs/decisions/0017-non-inferiority.md` has the statistics.
"""

import math
from collections.abc import Iterator, Sequence

from components.evaluation.config import EvaluationConfig, minimum_of, slice_name
from components.evaluation.gate.decision import GateDecision, Result, RuleResult
from components.evaluation.results import (
    ACCURACY,
    LOWER_IS_BETTER,
    METRICS,
    ROUNDING,
    Comparison,
    Evaluation,
    ModelResult,
    Outcome,
    wilson,
)
from components.serving_check.measurements import Measurements

REFERENCE_RULE = 'reference model'
_FAR = 3  # standard errors
_SHOWN = 5  # classes in a remark
_RESULTS: dict[Outcome, Result] = {'worse': 'failed', 'undecided': 'undecided'}  # else passed

_Rules = Iterator[RuleResult]


def decide(
    evaluation: Evaluation,
    reaches_minimum: bool,
    comparison: Comparison | None,
    measurements: Measurements,
    config: EvaluationConfig,
    validation_accuracy: float | None = None,
) -> GateDecision:
    """Applies every rule to a candidate model.

    `reaches_minimum` is TFMA's validation result; `comparison` is None if there is no reference
    model; `validation_accuracy` is that of the validation split.
    """
    overall = evaluation.candidate.overall
    images = [sum(row) for row in evaluation.candidate.confusion]
    value = overall.metrics[config.metric].value if config.metric in overall.metrics else None
    rules = [_predictions(evaluation)]
    remarks: list[str] = []
    if overall.metrics[ACCURACY].value is not None:  # of no images or NaN predictions
        rules.append(_minimum(evaluation, images, reaches_minimum, config))
        rules.append(_reference(comparison, config))
        rules += _floors(evaluation.candidate, config)
        remarks += _remarks(evaluation, validation_accuracy)
    rules += (*_serving(measurements), *_limits(measurements, config))
    return GateDecision(
        metric=config.metric,
        value=value,
        minimum=minimum_of(config, images)[1] if overall.images else None,
        images=overall.images,
        comparison=comparison,
        rules=tuple(rules),
        remarks=tuple(remarks),
    )


def _rule(name: str, passed: bool, reason: str) -> RuleResult:
    return RuleResult(rule=name, result='passed' if passed else 'failed', reason=reason)


def _predictions(evaluation: Evaluation) -> RuleResult:
    classes, model = evaluation.classes, evaluation.candidate
    if not model.overall.images:
        reason = (
            'no test image is left, because the models were trained on all of them or on similar '
            'ones'
        )
        return _rule('test images', False, reason)
    if model.overall.metrics[ACCURACY].value is None:
        return _rule('predictions', False, 'predictions are NaN, as after a diverged training')
    columns = zip(classes, zip(*model.confusion, strict=True), strict=True)
    predicted = [name for name, column in columns if any(column)]
    if len(predicted) < 2:
        return _rule('predictions', False, f'predicts {predicted[0]} for every image')
    return _rule('predictions', True, f'predicts {len(predicted)} of {len(classes)} classes')


def _minimum(
    evaluation: Evaluation, images: Sequence[int], passed: bool, config: EvaluationConfig
) -> RuleResult:
    """The rule that TFMA checks: the metric reaches its minimum."""
    overall = evaluation.candidate.overall
    name, least = minimum_of(config, images)
    if config.metric not in overall.metrics:  # balanced accuracy of one class
        reason = f'{_words(config.metric)} is undefined: all test images are of one class'
    elif name == config.metric:
        value = overall.metrics[config.metric].value or 0.0
        reason = (
            f'{_words(name)} {_apart(value, least)}, minimum {_exact(least)} (n={overall.images})'
        )
    else:
        found = overall.metrics[config.metric]
        most = evaluation.classes[images.index(max(images))]
        reason = (
            f'{"" if passed else "not shown to be "}better than always answering {most} '
            f'({least:.3f}): {_words(config.metric)} {found.value or 0.0:.3f}, at least '
            f'{_apart(found.low or 0.0, least)} with 95 % confidence (n={overall.images})'
        )
    return _rule('minimum', passed, reason)


def _reference(found: Comparison | None, config: EvaluationConfig) -> RuleResult:
    if found is None:
        reason = 'there is no reference model of these classes to compare with'
        return RuleResult(rule=REFERENCE_RULE, result='not applied', reason=reason)
    numbers = (
        f'{_words(config.metric)} {_apart(found.candidate, found.reference)}, reference '
        f'{_apart(found.reference, found.candidate)} on the same {found.images:,} images'
    )
    says = {
        'better': 'shown to be better than the reference model',
        'not worse': f'not worse than the reference model by more than {config.margin:g}',
        'same': 'predicts the same as the reference model for every test image',
        'worse': 'shown to be worse than the reference model',
        'undecided': 'undecided whether it is worse than the reference model by more than '
        f'{config.margin:g}',
    }[found.outcome]
    needed = found.describe_needed()
    reason = f'{says}: {numbers}' + (needed and f'; {needed}')
    result = _RESULTS.get(found.outcome, 'passed')
    return RuleResult(rule=REFERENCE_RULE, result=result, reason=reason)


def _floors(candidate: ModelResult, config: EvaluationConfig) -> _Rules:
    """A rule per metric with a floor, per slice with one, and per floor without a slice.

    The floor of a slice overrides that of its feature.
    """
    unused = set(config.floors)
    for name in (each for each in METRICS if each in config.floors):
        unused.discard(name)
        found, limit = candidate.overall.metrics.get(name), config.floors[name]
        value = None if found is None else found.value
        sign, word = (-1, 'maximum') if name in LOWER_IS_BETTER else (1, 'floor')
        passed = value is not None and sign * value >= sign * limit - ROUNDING
        shown = 'undefined' if value is None else _apart(value, limit)
        reason = f'{_words(name)} {shown}, {word} {_exact(limit)} (n={candidate.overall.images})'
        yield _rule('floor', passed, reason)
    for each in candidate.slices:
        key = f'{each.feature}.{each.name}'
        unused -= {key, each.feature}
        floor = config.floors.get(key, config.floors.get(each.feature))
        accuracy = each.metrics[ACCURACY].value
        if floor is None or accuracy is None:
            continue
        reason = (
            f'accuracy on {slice_name(each.feature, each.name)} {_apart(accuracy, floor)}, floor '
            f'{_exact(floor)} (n={each.images})'
        )
        result: Result = 'passed' if accuracy >= floor else 'failed'
        if each.images < config.min_images:
            result = 'not applied'
            reason = f'{reason}; a floor needs {config.min_images} images'
        yield RuleResult(rule='floor', result=result, reason=reason)
    for key in sorted(unused):
        feature, _, name = key.partition('.')
        missing = slice_name(feature, name) if name else f'slices by {feature}'
        reason = f'the test split has no {missing}; floor {_exact(config.floors[key])}'
        yield RuleResult(rule='floor', result='not applied', reason=reason)


def _serving(measurements: Measurements) -> _Rules:
    for problem in measurements.problems:
        yield _rule('serving', False, problem)
    if not measurements.problems:
        count = len(measurements.checks)
        yield _rule('serving', True, f'{count} serving check{"s" * (count != 1)} passed')


def _limits(measurements: Measurements, config: EvaluationConfig) -> _Rules:
    latency, latency_limit = measurements.latency_ms, config.max_latency_ms
    limits = (
        ('size', 'SavedModel size', measurements.size_mb, config.max_megabytes, 'MB'),
        ('latency', 'latency per image on one core', latency, latency_limit, 'ms'),
    )
    for rule, name, value, limit, unit in limits:
        if limit is not None:
            shown = 'not measured' if value is None else f'{_apart(value, limit, 1)} {unit}'
            passed = value is not None and value <= limit
            yield _rule(rule, passed, f'{name} {shown}, limit {limit:g} {unit}')


def _remarks(evaluation: Evaluation, validation_accuracy: float | None) -> Iterator[str]:
    """What a user should know whatever the decision is."""
    classes, confusion = evaluation.classes, evaluation.candidate.confusion
    overall = evaluation.candidate.overall
    accuracy = overall.metrics[ACCURACY].value or 0.0
    counts = [(row[label], sum(row)) for label, row in enumerate(confusion)]
    weak = [
        f'{name} ({right} of {images} images right)'
        for name, (right, images) in zip(classes, counts, strict=True)
        if images and _is_no_better_than_guessing(right, images, len(classes), accuracy)
    ]
    never = [
        name
        for name, column in zip(classes, zip(*confusion, strict=True), strict=True)
        if not any(column)
    ]
    absent = [name for name, (_, images) in zip(classes, counts, strict=True) if not images]
    if weak:
        yield f'recall no better than guessing: {_listed(weak)}'
    if never:
        yield f'never predicted: {_listed(never)}'
    if absent:
        yield f'without a test image, so nothing is known of them: {_listed(absent)}'
    error = math.sqrt(accuracy * (1 - accuracy) / overall.images)
    if validation_accuracy is not None and validation_accuracy > accuracy + _FAR * error:
        yield (
            f'accuracy {validation_accuracy:.3f} on validation images, {accuracy:.3f} on test '
            'images: the test images are of another kind'
        )


def _is_no_better_than_guessing(right: int, images: int, classes: int, accuracy: float) -> bool:
    """Whether a recall is that of guessing, or neither shown above it nor near the accuracy."""
    recall = wilson(right, images)
    low, high = recall.low or 0.0, recall.high or 0.0
    return right / images <= 1 / classes or (low <= 1 / classes and high < accuracy)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ', '.join(names[:_SHOWN]) + (f' and {more} more' if more > 0 else '')


def _words(metric: str) -> str:
    return metric.replace('_', ' ')


def _apart(value: float, other: float, digits: int = 3) -> str:
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
