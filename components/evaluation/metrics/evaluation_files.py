"""Reads the metrics written by TFX's Evaluator.

Imports TFMA lazily, because that takes seconds.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.evaluation.config import CLASS, SLICED_BY, SLICES, SOURCE
from components.evaluation.results import (
    ACCURACY,
    CURVES,
    IMAGES,
    METRICS,
    OVERALL,
    Curves,
    Estimate,
    Evaluation,
    ModelResult,
    SliceResult,
)

if TYPE_CHECKING:
    from tensorflow_model_analysis.proto.metrics_for_slice_pb2 import MetricsForSlice

_CANDIDATE, _BASELINE = 'candidate', 'baseline'  # TFMA's names; a single model has none
MAX_SOURCES = 20  # those with the most images


def read_evaluation(folder: Path, classes: Sequence[str], threshold: float) -> Evaluation:
    """Reads the evaluation of the candidate and, if any, of the baseline.

    Args:
        folder: folder of the ModelEvaluation artifact.
        classes: class names by label.
        threshold: probability from which the second of two classes is predicted.

    Raises:
        ValueError: there are no metrics of the overall slice.
    """
    written = _load(folder)
    names = {pair.key.model_name for each in written for pair in each.metric_keys_and_values}
    compared = _BASELINE in names
    return Evaluation(
        classes=tuple(classes),
        threshold=threshold,
        candidate=_model(folder, written, _CANDIDATE if compared else '', classes),
        baseline=_model(folder, written, _BASELINE, classes) if compared else None,
    )


def read_accuracy(folder: Path) -> float | None:
    """Accuracy of the candidate on the test split, 0 to 1, or None.

    Args:
        folder: folder of the ModelEvaluation artifact.
    """
    for each in _load(folder):
        if _slice(each) != (OVERALL, ''):
            continue
        for pair in each.metric_keys_and_values:
            key = pair.key
            if key.name == ACCURACY and key.model_name in ('', _CANDIDATE) and not key.is_diff:
                return float(pair.value.double_value.value)
    return None


def _load(folder: Path) -> list['MetricsForSlice']:
    import tensorflow_model_analysis as tfma

    return list(tfma.load_metrics(str(folder)))


def _model(
    folder: Path, written: Sequence['MetricsForSlice'], model: str, classes: Sequence[str]
) -> ModelResult:
    found = {}
    curves = None
    for each in written:
        feature, name = _slice(each)
        values = {
            pair.key.name: pair
            for pair in each.metric_keys_and_values
            if pair.key.model_name == model and not pair.key.is_diff
        }
        found[feature, name] = SliceResult(
            feature=feature,
            name=name,
            images=int(values[IMAGES].value.double_value.value),
            metrics={key: _estimate(values[key]) for key in METRICS if key in values},
        )
        if feature == OVERALL:
            curves = Curves.model_validate_json(values[CURVES].value.bytes_value)
    if curves is None:
        raise ValueError(f'{folder} has no metrics of the overall slice')
    confusion = [[0] * len(classes) for _ in classes]
    for label, prediction, images in curves.confusion:
        confusion[label][prediction] = images
    return ModelResult(
        slices=tuple(_ordered(found, classes)),
        confusion=tuple(map(tuple, confusion)),
        roc=curves.roc,
        precision_recall=curves.precision_recall,
        calibration=curves.calibration,
    )


def _slice(written: 'MetricsForSlice') -> tuple[str, str]:
    """Feature and name of a slice."""
    for key in written.slice_key.single_slice_keys:
        return key.column, key.bytes_value.decode()
    return OVERALL, ''


def _estimate(pair: 'MetricsForSlice.MetricKeyAndValue') -> Estimate:
    interval = pair.confidence_interval
    return Estimate(
        value=_number(pair.value.double_value.value),
        low=_number(interval.lower_bound.double_value.value),
        high=_number(interval.upper_bound.double_value.value),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _ordered(
    found: dict[tuple[str, str], SliceResult], classes: Sequence[str]
) -> Iterator[SliceResult]:
    """The overall slice, then SLICED_BY; a single source is left out, as it equals the former."""
    yield found[OVERALL, '']
    sources = [each for each in found.values() if each.feature == SOURCE]
    sources.sort(key=lambda each: (-each.images, each.name))
    known = {CLASS: classes, **SLICES, SOURCE: [each.name for each in sources[:MAX_SOURCES]]}
    if len(sources) == 1:
        known[SOURCE] = ()
    for feature in SLICED_BY:
        yield from (found[feature, name] for name in known[feature] if (feature, name) in found)
