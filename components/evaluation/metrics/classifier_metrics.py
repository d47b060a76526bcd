"""TFMA's metric for the answers of a classifier: one pass that counts, and all that follows.

TFMA adds it up for each slice and each model, and writes it beside its own. The names are those of
`results.METRICS`, each with its interval.
"""

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

_AT_ONCE = 2**16  # probabilities that wait to be counted


class ClassifierMetrics(tfma.metrics.Metric):
    """All metrics of `results.METRICS`, for two classes or more.

    Args:
        classes: how many there are.
        threshold: probability from which on the second of two classes is said.
        edges: of slices; not used, but kept here: TFX hands this to the extractor of the slices.
        code: not used, but kept here: this is part of the Evaluator's cache key.
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
    # The key tells one computation from another: of two models there are two.
    key = tfma.metrics.MetricKey(name, model_name, output_name)
    combiner = _Combiner(key, classes, threshold, eval_config)
    return [tfma.metrics.metric_types.MetricComputation([key], None, combiner)]


@dataclasses.dataclass
class _Answers:
    """Answers that wait to be counted, and what has been counted of others."""

    labels: list[int]
    probabilities: list[np.ndarray]
    counted: Counts


class _Combiner(beam.CombineFn):
    """Counts in batches: one by one would take as long as the model."""

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

    def create_accumulator(self) -> _Answers:
        return _Answers([], [], no_counts(self._classes))

    def add_input(self, answers: _Answers, given: Any) -> _Answers:
        ((label, probability, _),) = to_label_prediction_example_weight(
            given, self._eval_config, self._key.model_name, self._key.output_name, flatten=False
        )
        answers.labels.append(int(label.item()))
        answers.probabilities.append(probability.ravel())
        return self._compacted(answers)

    def merge_accumulators(self, parts: Iterable[_Answers]) -> _Answers:
        merged = self.create_accumulator()
        for part in parts:
            merged.labels += part.labels
            merged.probabilities += part.probabilities
            merged.counted += part.counted
            self._compacted(merged)
        return merged

    def extract_output(self, answers: _Answers) -> dict[tfma.metrics.MetricKey, Any]:
        counts = self._counted(answers).counted
        found = estimates(counts, self._classes)
        return {
            self._key._replace(name=IMAGES): counts.images,
            # Bytes: of two arrays TFMA would write the difference between two models too.
            self._key._replace(name=CURVES): curves(counts).model_dump_json().encode(),
            **{self._key._replace(name=name): _bounded(each) for name, each in found.items()},
        }

    def _compacted(self, answers: _Answers) -> _Answers:
        waiting = len(answers.labels) * self._classes
        return self._counted(answers) if waiting >= _AT_ONCE else answers

    def _counted(self, answers: _Answers) -> _Answers:
        if answers.labels:
            rows = np.array(answers.labels), np.stack(answers.probabilities)
            answers.counted += count(*rows, self._threshold)
            answers.labels, answers.probabilities = [], []
        return answers


def _bounded(estimate: Estimate) -> BoundedValue:
    """As TFMA writes a value with its interval; what is no number is NaN there."""
    return BoundedValue(
        value=_number(estimate.value),
        lower_bound=_number(estimate.low),
        upper_bound=_number(estimate.high),
    )


def _number(value: float | None) -> DoubleValue:
    return DoubleValue(value=math.nan if value is None else value)
