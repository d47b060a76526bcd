"""Reads the metrics that the Evaluator wrote.

Imports TFMA lazily, because that takes seconds.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from components.evaluation import results
from components.evaluation.config import CLASS, SLICES, SOURCE
from components.evaluation.results import (
    CANDIDATE,
    HIGH,
    LOW,
    Estimate,
    Evaluation,
    ModelResult,
    SliceResult,
)

Slice = tuple[str, str]  # feature and name
Metrics = dict[str, Any]  # TFMA's MetricKeyAndValue by name
MAX_SOURCES = 20  # those with the most images
_ALL: Slice = (results.OVERALL, '')


def read_evaluation(folder: Path, classes: Sequence[str], threshold: float) -> Evaluation:
    """Reads the folder of a ModelEvaluation artifact: the candidate, and the others if any.

    Without metrics, because no image was judged, the candidate has an overall slice of no images.
    """
    found = {name: _model(slices, classes) for name, slices in _load(folder).items()}
    return Evaluation(
        classes=tuple(classes), threshold=threshold, **{CANDIDATE: _nothing(classes)} | found
    )


def read_accuracy(folder: Path) -> float | None:
    """Accuracy of the candidate on the test split, 0 to 1; None if it is NaN or missing."""
    metrics = _load(folder)[CANDIDATE].get(_ALL, {})
    return _estimate(metrics, results.ACCURACY).value


def reaches_minimum(folder: Path) -> bool:
    """Whether TFMA's validation accepts the metric of the candidate that has a minimum."""
    import tensorflow_model_analysis as tfma

    result = tfma.load_validation_result(str(folder))
    return not any(
        each.failures
        for each in result.metric_validations_per_slice
        if not each.slice_key.single_slice_keys  # a slice may lack the metric
    )


def _load(folder: Path) -> dict[str, dict[Slice, Metrics]]:
    """Reads the metrics by model and slice."""
    import tensorflow_model_analysis as tfma

    found: dict[str, dict[Slice, Metrics]] = defaultdict(lambda: defaultdict(dict))
    for written in tfma.load_metrics(str(folder)):
        keys = written.slice_key.single_slice_keys
        place = (keys[0].column, keys[0].bytes_value.decode()) if keys else _ALL
        for pair in written.metric_keys_and_values:
            if pair.key.is_diff:
                continue
            found[pair.key.model_name or CANDIDATE][place][pair.key.name] = pair
    return found


def _nothing(classes: Sequence[str]) -> ModelResult:
    accuracy = {results.ACCURACY: Estimate(value=None)}
    nothing = SliceResult(feature=results.OVERALL, name='', images=0, metrics=accuracy)
    return ModelResult(slices=(nothing,), confusion=_filled((), classes))


def _model(slices: dict[Slice, Metrics], classes: Sequence[str]) -> ModelResult:
    found = {
        (feature, name): SliceResult(
            feature=feature,
            name=name,
            images=int(metrics[results.IMAGES].value.double_value.value),
            metrics={key: _estimate(metrics, key) for key in results.METRICS if key in metrics},
        )
        for (feature, name), metrics in slices.items()
    }
    curves, confusion = (
        json.loads(slices[_ALL][name].value.bytes_value)
        for name in (results.CURVES, results.CONFUSION)
    )
    return ModelResult(
        slices=tuple(_sorted(found, classes)), confusion=_filled(confusion, classes), **curves
    )


def _filled(
    cells: Iterable[tuple[int, int, int]], classes: Sequence[str]
) -> tuple[tuple[int, ...], ...]:
    """Confusion matrix of all classes from label, prediction and number of images."""
    images = {(label, prediction): number for label, prediction, number in cells}
    labels = range(len(classes))
    return tuple(tuple(images.get((row, column), 0) for column in labels) for row in labels)


def _sorted(found: dict[Slice, SliceResult], classes: Sequence[str]) -> Iterator[SliceResult]:
    """All images, then SLICED_BY; a single source is left out, as it equals the former."""
    names = {results.OVERALL: [''], CLASS: classes, **SLICES}
    for feature in names:
        yield from (found[feature, name] for name in names[feature] if (feature, name) in found)
    sources = [each for each in found.values() if each.feature == SOURCE]
    if len(sources) > 1:
        yield from sorted(sources, key=lambda each: (-each.images, each.name))[:MAX_SOURCES]


def _estimate(metrics: Metrics, name: str) -> Estimate:
    value, low, high = (_number(metrics.get(f'{name}{end}')) for end in ('', LOW, HIGH))
    return Estimate(value=value, low=low, high=high)


def _number(pair: Any) -> float | None:
    number = math.nan if pair is None else pair.value.double_value.value
    return None if math.isnan(number) else number
