"""Reads what the Evaluator wrote."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto.metrics_for_slice_pb2 import MetricsForSlice

from components.evaluation.config import CLASS, SLICED_BY, SLICES, SOURCE
from components.evaluation.metrics.classifier_metrics import CURVES, IMAGES
from components.evaluation.metrics.curves import Curves
from components.evaluation.results import (
    METRICS,
    OVERALL,
    Estimate,
    Evaluation,
    ModelResult,
    SliceResult,
)

MOST_SOURCES = 20  # that are told, those with the most images


def read_evaluation(folder: Path, classes: Sequence[str], threshold: float) -> Evaluation:
    """What was measured on the test split.

    Args:
        folder: of the artifact `evaluation`.
        classes: names in the order of the labels.
        threshold: probability from which on the second of two classes was said.

    Raises:
        ValueError: there is nothing over all of the test split.
    """
    written = list(tfma.load_metrics(str(folder)))
    names = {pair.key.model_name for each in written for pair in each.metric_keys_and_values}
    candidate = tfma.CANDIDATE_KEY if tfma.BASELINE_KEY in names else ''
    baseline = tfma.BASELINE_KEY in names
    return Evaluation(
        classes=tuple(classes),
        threshold=threshold,
        candidate=_model(folder, written, candidate, classes),
        baseline=_model(folder, written, tfma.BASELINE_KEY, classes) if baseline else None,
    )


def _model(
    folder: Path, written: Sequence[MetricsForSlice], model: str, classes: Sequence[str]
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
        raise ValueError(f'{folder} holds no metrics over all of the test split')
    confusion = np.zeros((len(classes), len(classes)), int)
    for label, answer, images in curves.confusion:
        confusion[label, answer] = images
    return ModelResult(
        slices=tuple(_ordered(found, classes)),
        confusion=tuple(map(tuple, confusion.tolist())),
        roc=curves.roc,
        precision_recall=curves.precision_recall,
        calibration=curves.calibration,
    )


def _slice(written: MetricsForSlice) -> tuple[str, str]:
    """By what, and its name."""
    for key in written.slice_key.single_slice_keys:
        return key.column, key.bytes_value.decode()
    return OVERALL, ''


def _estimate(pair: MetricsForSlice.MetricKeyAndValue) -> Estimate:
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
    """The whole first, then as in SLICED_BY; a single source would say the same as the whole."""
    yield found[OVERALL, '']
    sources = [each for each in found.values() if each.feature == SOURCE]
    sources.sort(key=lambda each: (-each.images, each.name))
    known = {CLASS: classes, **SLICES, SOURCE: [each.name for each in sources[:MOST_SOURCES]]}
    if len(sources) == 1:
        known[SOURCE] = ()
    for feature in SLICED_BY:
        yield from (found[feature, name] for name in known[feature] if (feature, name) in found)
