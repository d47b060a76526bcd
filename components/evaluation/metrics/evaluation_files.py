"""Reads the metrics that the Evaluator wrote.

Imports TFMA lazily, because that takes seconds.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.evaluation import results
from components.evaluation.config import CLASS, SLICES, SOURCE
from components.evaluation.results import (
    ANCHOR,
    BASELINE,
    CANDIDATE,
    Estimate,
    Evaluation,
    ModelResult,
    Pairs,
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
    models = _load(folder)
    if _ALL not in models[CANDIDATE]:
        return Evaluation(
            classes=tuple(classes), threshold=threshold, candidate=_nothing(len(classes))
        )
    found = {
        name: _model(models[name], classes)
        for name in (CANDIDATE, BASELINE, ANCHOR)
        if name in models
    }
    return Evaluation(classes=tuple(classes), threshold=threshold, **found)


def read_accuracy(folder: Path) -> float | None:
    """Accuracy of the candidate on the test split, 0 to 1; None if it is NaN or missing."""
    metrics = _load(folder)[CANDIDATE].get(_ALL, {})
    return _estimate(metrics[results.ACCURACY]).value if results.ACCURACY in metrics else None


def _load(folder: Path) -> dict[str, dict[Slice, Metrics]]:
    """Reads the metrics by model and slice."""
    import tensorflow_model_analysis as tfma

    found: dict[str, dict[Slice, Metrics]] = defaultdict(lambda: defaultdict(dict))
    for written in tfma.load_metrics(str(folder)):
        keys = written.slice_key.single_slice_keys
        place = (keys[0].column, keys[0].bytes_value.decode()) if keys else _ALL
        for pair in written.metric_keys_and_values:
            if not pair.key.is_diff:
                found[pair.key.model_name or CANDIDATE][place][pair.key.name] = pair
    return found


def _model(slices: dict[Slice, Metrics], classes: Sequence[str]) -> ModelResult:
    found = {
        (feature, name): SliceResult(
            feature=feature,
            name=name,
            images=int(metrics[results.IMAGES].value.double_value.value),
            metrics={key: _estimate(metrics[key]) for key in results.METRICS if key in metrics},
            pairs=_pairs(metrics),
        )
        for (feature, name), metrics in slices.items()
    }
    confusion = [[0] * len(classes) for _ in classes]
    for label, prediction, images in json.loads(slices[_ALL][results.CONFUSION].value.bytes_value):
        confusion[label][prediction] = images
    return ModelResult(
        slices=tuple(_sorted(found, classes)),
        confusion=tuple(map(tuple, confusion)),
        **json.loads(slices[_ALL][results.CURVES].value.bytes_value),
    )


def _nothing(classes: int) -> ModelResult:
    accuracy = {results.ACCURACY: Estimate(value=None)}
    return ModelResult(
        slices=(SliceResult(feature=results.OVERALL, name='', images=0, metrics=accuracy),),
        confusion=((0,) * classes,) * classes,
        roc=(),
        precision_recall=(),
        calibration=(),
    )


def _sorted(found: dict[Slice, SliceResult], classes: Sequence[str]) -> Iterator[SliceResult]:
    """All images, then SLICED_BY; a single source is left out, as it equals the former."""
    names = {results.OVERALL: [''], CLASS: classes, **SLICES}
    for feature in names:
        yield from (found[feature, name] for name in names[feature] if (feature, name) in found)
    sources = [each for each in found.values() if each.feature == SOURCE]
    if len(sources) > 1:
        yield from sorted(sources, key=lambda each: (-each.images, each.name))[:MAX_SOURCES]


def _pairs(metrics: Metrics) -> Pairs | None:
    """Comparison with the candidate; None for the candidate, and in files of earlier versions."""
    if results.PAIRED not in metrics:
        return None
    found = Pairs.model_validate_json(metrics[results.PAIRED].value.bytes_value)
    return found if found.counts.images else None


def _estimate(pair: Any) -> Estimate:
    interval = pair.confidence_interval
    bounds = (pair.value, interval.lower_bound, interval.upper_bound)
    numbers = [each.double_value.value for each in bounds]
    value, low, high = (None if math.isnan(number) else number for number in numbers)
    return Estimate(value=value, low=low, high=high)
