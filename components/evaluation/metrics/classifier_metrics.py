"""TFMA metric of classifiers: computes all of `results.METRICS`, with intervals, in one pass.

Why TFMA's own metrics do not fit: `docs/decisions/0013-metrics-and-intervals.md`.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics.metric_util import (
    merge_per_key_computations,
    to_label_prediction_example_weight,
)

# The package itself has these names only after an import of TFX, which Beam's workers may lack.
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.proto.metrics_for_slice_pb2 import BoundedValue

from common import features
from components.evaluation.config import SLICED_BY
from components.evaluation.metrics.counts import Counts, count, no_counts
from components.evaluation.metrics.estimates import curves, estimates
from components.evaluation.results import CONFUSION, CURVES, IMAGES, Estimate

_BATCH = 2**16  # probabilities per batch


def eval_config(classes: Sequence[str], threshold: float, code: str) -> config_pb2.EvalConfig:
    """Configures the Evaluator: metrics on all images and slices, no thresholds (see ModelGate).

    `code`, the hash of the custom code of the Evaluator, becomes part of its cache key.
    """
    arguments = {'classes': len(classes), 'threshold': threshold, 'code': code}
    metric = config_pb2.MetricConfig(
        class_name=ClassifierMetrics.__name__,
        module=ClassifierMetrics.__module__,
        config=json.dumps(arguments),
    )
    model = config_pb2.ModelSpec(
        signature_name=features.SIGNATURE_EXAMPLES,
        label_key=features.LABEL,
        prediction_key=features.PROBABILITY,
    )
    slices = [config_pb2.SlicingSpec(feature_keys=[name]) for name in SLICED_BY]
    return config_pb2.EvalConfig(
        model_specs=[model],
        slicing_specs=[config_pb2.SlicingSpec(), *slices],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[metric])],
    )


class ClassifierMetrics(tfma.metrics.Metric):
    """All metrics of `results.METRICS`, for two or more classes.

    Does not use `code`, which is part of the cache key.
    """

    def __init__(self, classes: int, threshold: float, code: str, name: str = 'classifier') -> None:
        computations = merge_per_key_computations(_computations)
        super().__init__(computations, name=name, classes=classes, threshold=threshold)


tfma.metrics.metric_types.register_metric(ClassifierMetrics)


def _computations(
    name: str,
    classes: int,
    threshold: float,
    eval_config: config_pb2.EvalConfig | None = None,
    model_name: str = '',
    output_name: str = '',
) -> list[tfma.metrics.metric_types.MetricComputation]:
    key = tfma.metrics.MetricKey(name, model_name, output_name)
    combiner = _Combiner(key, classes, threshold, eval_config)
    return [tfma.metrics.metric_types.MetricComputation([key], None, combiner)]


@dataclasses.dataclass
class _Accumulator:
    counts: Counts
    waiting: list[tuple[int, np.ndarray]]  # labels and probabilities that are not counted yet


@dataclasses.dataclass(eq=False)
class _Combiner(beam.CombineFn):
    """Counts predictions in batches: one by one would take as long as inference."""

    key: tfma.metrics.MetricKey
    classes: int
    threshold: float
    eval_config: config_pb2.EvalConfig | None

    def create_accumulator(self) -> _Accumulator:
        return _Accumulator(no_counts(self.classes), [])

    def add_input(self, accumulator: _Accumulator, element: Any) -> _Accumulator:
        ((label, probability, _),) = to_label_prediction_example_weight(
            element, self.eval_config, self.key.model_name, self.key.output_name, flatten=False
        )
        accumulator.waiting.append((int(label.item()), probability.ravel()))
        is_full = len(accumulator.waiting) * self.classes >= _BATCH
        return self.compact(accumulator) if is_full else accumulator

    def merge_accumulators(self, parts: Iterable[_Accumulator]) -> _Accumulator:
        counts = (self.compact(part).counts for part in parts)
        return _Accumulator(sum(counts, no_counts(self.classes)), [])

    def compact(self, accumulator: _Accumulator) -> _Accumulator:
        if not accumulator.waiting:
            return accumulator
        labels, rows = map(np.array, zip(*accumulator.waiting, strict=True))
        return _Accumulator(accumulator.counts + count(labels, rows, self.threshold), [])

    def extract_output(self, accumulator: _Accumulator) -> dict[tfma.metrics.MetricKey, Any]:
        counts = self.compact(accumulator).counts
        confusion = counts.confusion.tocoo()
        entries = np.stack([confusion.row, confusion.col, confusion.data], axis=1).tolist()
        outputs = {
            IMAGES: counts.images,
            # As bytes: TFMA would also write the difference of arrays between two models.
            CONFUSION: json.dumps(entries).encode(),
            CURVES: curves(counts).model_dump_json().encode(),
            **{name: _bounded(each) for name, each in estimates(counts).items()},
        }
        return {self.key._replace(name=name): value for name, value in outputs.items()}


def _bounded(estimate: Estimate) -> BoundedValue:
    """Converts to TFMA's proto, None to NaN."""
    numbers = (estimate.value, estimate.low, estimate.high)
    value, low, high = ({'value': math.nan if each is None else each} for each in numbers)
    return BoundedValue(value=value, lower_bound=low, upper_bound=high)
