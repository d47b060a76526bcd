"""TFMA metric of classifiers: computes all of `results.METRICS`, with intervals, in one pass."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from google.protobuf.wrappers_pb2 import DoubleValue
from tensorflow_model_analysis.metrics.metric_util import (
    merge_per_key_computations,
    to_label_prediction_example_weight,
)
from tensorflow_model_analysis.proto.metrics_for_slice_pb2 import BoundedValue

from components.evaluation.metrics.counts import Counts, count, no_counts
from components.evaluation.metrics.curves import curves
from components.evaluation.metrics.estimates import estimates
from components.evaluation.results import CURVES, IMAGES, Estimate

_BATCH = 2**16  # probabilities per batch


class ClassifierMetrics(tfma.metrics.Metric):
    """All metrics of `results.METRICS`, for two or more classes.

    Args:
        classes: number of classes.
        threshold: probability from which the second of two classes is predicted.
        edges: unused; `slices.custom_extractors` reads it from the EvalConfig.
        code: unused; part of the Evaluator's cache key.
    """

    def __init__(
        self,
        classes: int,
        threshold: float,
        edges: dict[str, Any],
        code: str = '',
        name: str = 'classifier',
    ) -> None:
        super().__init__(
            merge_per_key_computations(_computations),
            name=name,
            classes=classes,
            threshold=threshold,
        )


tfma.metrics.metric_types.register_metric(ClassifierMetrics)


def _computations(
    name: str,
    classes: int,
    threshold: float,
    eval_config: tfma.EvalConfig | None = None,
    model_name: str = '',
    output_name: str = '',
) -> list[tfma.metrics.metric_types.MetricComputation]:
    key = tfma.metrics.MetricKey(name, model_name, output_name)
    combiner = _Combiner(key, classes, threshold, eval_config)
    return [tfma.metrics.metric_types.MetricComputation([key], None, combiner)]


@dataclasses.dataclass
class _Accumulator:
    """Predictions that are not counted yet, and the counts of the others."""

    labels: list[int]
    probabilities: list[np.ndarray]
    counted: Counts


class _Combiner(beam.CombineFn):
    """Counts predictions in batches: one by one would take as long as inference."""

    def __init__(
        self,
        key: tfma.metrics.MetricKey,
        classes: int,
        threshold: float,
        eval_config: tfma.EvalConfig | None,
    ) -> None:
        super().__init__()
        self._key, self._classes, self._threshold = key, classes, threshold
        self._eval_config = eval_config

    def create_accumulator(self) -> _Accumulator:
        return _Accumulator([], [], no_counts(self._classes))

    def add_input(self, accumulator: _Accumulator, element: Any) -> _Accumulator:
        ((label, probability, _),) = to_label_prediction_example_weight(
            element, self._eval_config, self._key.model_name, self._key.output_name, flatten=False
        )
        accumulator.labels.append(int(label.item()))
        accumulator.probabilities.append(probability.ravel())
        return self._compacted(accumulator)

    def merge_accumulators(self, parts: Iterable[_Accumulator]) -> _Accumulator:
        merged = self.create_accumulator()
        for part in parts:
            merged.labels += part.labels
            merged.probabilities += part.probabilities
            merged.counted += part.counted
            self._compacted(merged)
        return merged

    def extract_output(self, accumulator: _Accumulator) -> dict[tfma.metrics.MetricKey, Any]:
        counts = self._counted(accumulator).counted
        found = estimates(counts, self._classes)
        return {
            self._key._replace(name=IMAGES): counts.images,
            # As bytes: TFMA would also write the difference of arrays between two models.
            self._key._replace(name=CURVES): curves(counts).model_dump_json().encode(),
            **{self._key._replace(name=name): _bounded(each) for name, each in found.items()},
        }

    def _compacted(self, accumulator: _Accumulator) -> _Accumulator:
        waiting = len(accumulator.labels) * self._classes
        return self._counted(accumulator) if waiting >= _BATCH else accumulator

    def _counted(self, accumulator: _Accumulator) -> _Accumulator:
        if accumulator.labels:
            rows = np.array(accumulator.labels), np.stack(accumulator.probabilities)
            accumulator.counted += count(*rows, self._threshold)
            accumulator.labels, accumulator.probabilities = [], []
        return accumulator


def _bounded(estimate: Estimate) -> BoundedValue:
    """Converts to TFMA's proto, None to NaN."""
    return BoundedValue(
        value=_double(estimate.value),
        lower_bound=_double(estimate.low),
        upper_bound=_double(estimate.high),
    )


def _double(value: float | None) -> DoubleValue:
    return DoubleValue(value=math.nan if value is None else value)
