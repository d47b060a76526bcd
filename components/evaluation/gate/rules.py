"""Rules of ModelGate: compare measurements with the thresholds of the recipe and with other models.

`docs/decisions/0017-non-inferiority.md` has the statistics.
"""

import bisect
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

from components.evaluation.config import CLASS, EvaluationConfig, slice_name
from components.evaluation.gate.paired import (
    ANCHOR_CONFIDENCE,
    CONFIDENCE,
    Comparison,
    compare,
    compare_balanced,
    compare_log_loss,
    is_better,
    power_in_words,
)
from components.evaluation.gate.verdict import (
    FAILED,
    NOT_APPLIED,
    PASSED,
    UNDECIDED,
    Result,
    Ruling,
    Verdict,
)
from components.evaluation.results import (
    ACCURACY,
    BALANCED_ACCURACY,
    LARGEST_LOSS,
    Evaluation,
    ModelResult,
    SliceResult,
)
from components.serving_check.measurements import Measurements

FLOOR = 'floor'
_NO_IMAGES = (
    'no test image is left, because the models were trained on all of them or on similar ones; add '
    'images that no model was trained on'
)
_LATENCY = 'latency per image on one core'
_ROUNDING = 1e-9  # tolerance for the difference of two shares
_MORE_TRAINING = 'train on more or better images, or longer'
_STEP = 100  # settings are multiples of its inverse

_Settings = dict[str, Any]  # as in `verdict.Ruling`
_Rulings = Iterator[Ruling]


def apply_rules(
    evaluation: Evaluation, measurements: Measurements, config: EvaluationConfig
) -> Verdict:
    """Applies every rule to a candidate model."""
    rules = (
        _predictions(evaluation, config),
        _serving(measurements),
        _limits(measurements, config),
    )
    return Verdict(rulings=tuple(itertools.chain.from_iterable(rules)))


def becomes_anchor(evaluation: Evaluation, verdict: Verdict) -> bool:
    """Whether the candidate is the best model from now on.

    It is the first one, or it is shown to be better than the best model so far. A higher value is
    not enough: by chance, a slightly worse model would often take its place.
    """
    before = evaluation.anchor or evaluation.baseline
    if not verdict.blessed or before is None:
        return verdict.blessed
    pairs = before.overall.pairs
    return pairs is not None and is_better(pairs.counts)


def baseline_accuracy(config: EvaluationConfig, evaluation: Evaluation) -> float:
    """The minimum: that of the recipe, or by the classes and their shares, rounded up to 0.001."""
    if config.baseline_accuracy is not None:
        return config.baseline_accuracy
    images = [sum(row) for row in evaluation.candidate.confusion]
    most_frequent = max(images) / max(sum(images), 1)
    least = max(accuracy_for_classes(len(images)), most_frequent)
    return math.ceil(least * 1000 - _ROUNDING) / 1000


def accuracy_for_classes(classes: int) -> float:
    """0.9 for two classes; less far above guessing, 1 / classes, for more: 0.51 for a hundred."""
    guessing = 1 / classes
    return round(guessing + (1 - guessing) * (0.5 + 0.6 * guessing), 3)


def _predictions(evaluation: Evaluation, config: EvaluationConfig) -> _Rulings:
    overall = evaluation.candidate.overall
    if not overall.images:
        yield _ruling('test images', FAILED, _NO_IMAGES, 'add new images')
        return
    if overall.metrics[ACCURACY].value is None:
        yield _ruling(
            'finite',
            FAILED,
            'predictions are NaN, as after a diverged training',
            'lower the learning rates: trainer.feature_extraction.learning_rate and '
            'trainer.fine_tune.learning_rate',
        )
        return
    yield _ruling('finite', PASSED, 'predictions are finite')
    yield _enough_images(overall.images, config)
    yield _one_class(evaluation)
    yield from _baseline(evaluation, config)
    yield from _comparison('live model', evaluation, evaluation.baseline, config, CONFIDENCE)
    if evaluation.anchor:
        yield from _comparison(
            'best model so far', evaluation, evaluation.anchor, config, ANCHOR_CONFIDENCE
        )
    yield from _floors(evaluation.candidate, config)


def _enough_images(images: int, config: EvaluationConfig) -> Ruling:
    least = config.min_images
    shown = f'{images} test image{"s" * (images != 1)}, evaluation.min_images {least}'
    return _ruling(
        'test images',
        PASSED if images >= least else FAILED,
        shown,
        f'add images until the test split has {least}; the accuracy on fewer is noise',
        {} if config.floors else {'evaluation.min_images': images},  # floors might then fail
    )


def _one_class(evaluation: Evaluation) -> Ruling:
    confusion, classes = evaluation.candidate.confusion, evaluation.classes
    missing = [name for name, row in zip(classes, confusion, strict=True) if not any(row)]
    columns = zip(*confusion, strict=True)
    predicted = [name for name, column in zip(classes, columns, strict=True) if any(column)]
    if missing:
        names = ', '.join(missing)
        return _ruling(
            'one class', FAILED, f'no judged test image is of {names}', f'add images of {names}'
        )
    if len(predicted) < 2:
        shown = f'predicts {predicted[0]} for every image; test has {len(classes)} classes'
        remedy = f'check the labels; {_MORE_TRAINING}'
        return _ruling('one class', FAILED, shown, remedy)
    return _ruling('one class', PASSED, f'predicts {len(predicted)} of {len(classes)} classes')


def _baseline(evaluation: Evaluation, config: EvaluationConfig) -> _Rulings:
    overall = evaluation.candidate.overall
    least = baseline_accuracy(config, evaluation)
    remedies = {ACCURACY: _MORE_TRAINING, BALANCED_ACCURACY: 'add images of the rare classes'}
    remedies = {metric: each for metric, each in remedies.items() if metric in overall.metrics}
    reached = min(_reached(overall, metric, config) for metric in remedies)  # the key is for both
    settings: _Settings = {'evaluation.baseline_accuracy': reached}
    for metric, remedy in remedies.items():
        if metric == BALANCED_ACCURACY and config.baseline_accuracy is None:
            least = accuracy_for_classes(len(evaluation.classes))
        name = metric.replace('_', ' ')
        yield _at_least('baseline', name, overall, metric, least, config, remedy, settings)


def _reached(judged: SliceResult, metric: str, config: EvaluationConfig) -> float:
    """The highest limit that `_at_least` passes, rounded down to a multiple of 0.01."""
    return math.floor(_judged_value(judged, metric, config) * _STEP + _ROUNDING) / _STEP


def _judged_value(judged: SliceResult, metric: str, config: EvaluationConfig) -> float:
    estimate = judged.metrics[metric]
    value = estimate.low if config.judge_by == 'lower bound' else estimate.value
    assert value is not None  # NaN was rejected before
    return value


def _at_least(
    rule: str,
    name: str,
    judged: SliceResult,
    metric: str,
    least: float,
    config: EvaluationConfig,
    remedy: str,
    settings: _Settings,
) -> Ruling:
    """Compares an accuracy, or the lower end of its interval, with a limit."""
    value = _judged_value(judged, metric, config)
    shown = f'lower bound of {name}' if config.judge_by == 'lower bound' else name
    reason = f'{shown} {_format_apart(value, least)}, {rule} {_exact(least)} (n={judged.images})'
    passed = value >= least - _ROUNDING
    return _ruling(rule, PASSED if passed else FAILED, reason, remedy, settings)


def _comparison(
    other: str,
    evaluation: Evaluation,
    model: ModelResult | None,
    config: EvaluationConfig,
    confidence: float,
) -> _Rulings:
    """Compares the candidate with another model, image by image."""
    if model is None:
        yield _ruling(other, NOT_APPLIED, f'no {other} of these classes to compare with')
        return
    pairs = model.overall.pairs
    if pairs is None or model.overall.metrics[ACCURACY].value is None:
        yield _ruling(other, NOT_APPLIED, f'the {other} predicts NaN on these images; not compared')
        return
    counts = pairs.counts
    by_class = [each.pairs.counts for each in model.slices if each.feature == CLASS and each.pairs]
    overall = functools.partial(compare, counts, confidence=confidence)
    balanced = functools.partial(compare_balanced, by_class, confidence=confidence)
    compared: list[tuple[str, str, float, Callable[[float], Comparison]]] = [
        (ACCURACY, 'max_drop', config.max_drop, overall),
        (BALANCED_ACCURACY, 'max_balanced_drop', config.max_balanced_drop, balanced),
    ]
    if len(by_class) < 2:
        del compared[1]
    on_images = f'on the same {counts.images} images'
    for metric, key, margin, compare_at in compared:
        result = compare_at(margin)
        now, before = (
            each.overall.metrics[metric].value or 0.0 for each in (evaluation.candidate, model)
        )
        reason = (
            f'{metric.replace("_", " ")} {_format_apart(now, before)}, {other} '
            f'{_format_apart(before, now)} {on_images}: the difference is at least '
            f'{_bound(result.low, confidence)}, has to be above {_signed(-margin)}'
        )
        if result.outcome == 'undecided' and metric == ACCURACY:
            reason += f'; {power_in_words(counts, margin, confidence)}'
        elif result.outcome == 'undecided':
            reason += f'; the rarest class has {min(each.images for each in by_class)} of them'
        yield _compared(other, result, reason, config, key, compare_at)
    sums, limit = (pairs.log_loss, pairs.log_loss_squares), config.max_log_loss_rise
    rise = compare_log_loss(pairs.finite, *sums, limit, confidence)
    reason = (
        f'log loss {_signed(rise.difference)} compared with the {other} {on_images}: the '
        f'difference is at most {_bound(rise.high, confidence)}, has to be below {_signed(limit)}'
    )
    compare_at = functools.partial(compare_log_loss, pairs.finite, *sums, confidence=confidence)
    yield _compared(other, rise, reason, config, 'max_log_loss_rise', compare_at)


def _bound(value: float, confidence: float) -> str:
    return f'{_signed(value)} ({100 * confidence:g} % confidence)'


def _signed(value: float) -> str:
    return f'{value:+.4f}'.rstrip('0').rstrip('.') if round(value, 4) else '0'


def _compared(
    other: str,
    found: Comparison,
    reason: str,
    config: EvaluationConfig,
    key: str,
    compare_at: Callable[[float], Comparison],
) -> Ruling:
    """The ruling of a comparison; `key` is its margin, `compare_at` compares with another one."""
    if found.outcome == 'not inferior':
        return _ruling(other, PASSED, reason)
    if found.outcome == 'inferior':
        remedy = f'{_MORE_TRAINING}; until then the {other} is the better one'
        largest = LARGEST_LOSS if key == 'max_log_loss_rise' else 1.0
        margin = _sufficient_margin(compare_at, largest)
        return _ruling(other, FAILED, reason, remedy, {f'evaluation.{key}': margin})
    return _ruling(
        other,
        UNDECIDED,
        reason,
        'add test images, or train on more or better images',
        {'evaluation.undecided': 'push'},
        blocks=config.undecided == 'keep',
    )


def _sufficient_margin(compare_at: Callable[[float], Comparison], largest: float) -> float:
    """The smallest margin with which a model is not inferior, a multiple of 0.01."""

    def suffices(steps: int) -> bool:
        return compare_at(steps / _STEP).outcome == 'not inferior'

    steps = range(math.ceil(largest * _STEP))  # the margin after the last one always suffices
    return bisect.bisect_left(steps, True, key=suffices) / _STEP


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
        name = f'accuracy on {slice_name(each.feature, each.name)}'
        limit = key if key in config.floors else each.feature
        floors = {**config.floors, limit: _reached(each, ACCURACY, config)}
        remedy = f'train on more {slice_name(each.feature, each.name)}'
        settings: _Settings = {'evaluation.floors': floors}
        found = _at_least(FLOOR, name, each, ACCURACY, floor, config, remedy, settings)
        if each.images < config.min_images:
            reason = f'{found.reason}; undecided below {config.min_images} images'
            found = _ruling(FLOOR, UNDECIDED, reason)
        yield found
    for key in sorted(unused):
        feature, _, name = key.partition('.')
        images = slice_name(feature, name) if name else f'slices by {feature}'
        shown = f'the test split has no {images}; floor {_exact(config.floors[key])} undecided'
        yield _ruling(FLOOR, UNDECIDED, shown)


def _serving(measurements: Measurements) -> _Rulings:
    for problem in measurements.problems:
        yield _ruling('serving', FAILED, problem, 'see the log of the run; no key allows it')
    if not measurements.problems:
        count = len(measurements.checks)
        yield _ruling('serving', PASSED, f'{count} serving check{"s" * (count != 1)} passed')


def _limits(measurements: Measurements, config: EvaluationConfig) -> _Rulings:
    limits = (
        ('size', 'SavedModel size', measurements.size_mb, config.max_megabytes, 'MB', 'megabytes'),
        ('latency', _LATENCY, measurements.latency_ms, config.max_latency_ms, 'ms', 'latency_ms'),
    )
    for rule, name, value, limit, unit, key in limits:
        if limit is not None:
            shown = 'not measured' if value is None else f'{_format_apart(value, limit, 1)} {unit}'
            passed = value is not None and value <= limit
            reason = f'{name} {shown}, limit {limit:g} {unit}'
            smaller = 'trainer.alpha' if rule == 'size' else 'trainer.image_size or trainer.alpha'
            settings: _Settings = {} if value is None else {f'evaluation.max_{key}': _above(value)}
            remedy = f'train a smaller network: lower {smaller}'
            yield _ruling(rule, PASSED if passed else FAILED, reason, remedy, settings)


def _above(value: float) -> float:
    """The next limit above a size or latency, with one decimal."""
    return math.ceil(value * 10) / 10


def _ruling(
    rule: str,
    result: Result,
    reason: str,
    remedy: str = '',
    settings: _Settings | None = None,
    *,
    blocks: bool | None = None,
) -> Ruling:
    """A ruling, which blocks the model by default if the rule failed; others have no remedy."""
    blocks = result == FAILED if blocks is None else blocks
    advice: dict[str, Any] = {'remedy': remedy, 'settings': settings or {}} if blocks else {}
    return Ruling(rule=rule, result=result, reason=reason, blocks=blocks, **advice)


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
