"""TFMA metric of classifiers: computes all of `results.METRICS`, with intervals, in one pass.

Why TFMA's own metrics do not fit: `docs/decisions/0013-metrics-and-intervals.md`.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics.metric_util import merge_per_key_computations

# The package itself has these names only after an import of TFX, which Beam's workers may lack.
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.proto.metrics_for_slice_pb2 import BoundedValue

from components.evaluation.config import SLICED_BY
from components.evaluation.metrics.counts import Counts, count, count_pairs, no_counts
from components.evaluation.metrics.estimates import curves, estimates
from components.evaluation.results import (
    CANDIDATE,
    CONFUSION,
    CURVES,
    IMAGES,
    PAIRED,
    Estimate,
    Pairs,
)

_BATCH = 2**16  # probabilities per batch
_Prediction = tuple[int, np.ndarray]  # label and probabilities
_Row = tuple[int, _Prediction, _Prediction | None]  # true label; a model, and the candidate


def eval_config(classes: int, models: Sequence[str]) -> config_pb2.EvalConfig:
    """Configures TFMA: metrics of each model on all images and slices, without thresholds."""
    metric = config_pb2.MetricConfig(
        class_name=ClassifierMetrics.__name__,
        module=ClassifierMetrics.__module__,
        config=json.dumps({'classes': classes}),
    )
    slices = [config_pb2.SlicingSpec(feature_keys=[name]) for name in SLICED_BY]
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(name=name) for name in models],
        slicing_specs=[config_pb2.SlicingSpec(), *slices],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[metric], model_names=models)],
    )


class ClassifierMetrics(tfma.metrics.Metric):
    """All metrics of `results.METRICS`, for two or more classes.

    The predictions of an image are `(label, probabilities)` by name of the model. A model other
    than the candidate is also compared with it, image by image.
    """

    def __init__(self, classes: int, name: str = 'classifier') -> None:
        computations = merge_per_key_computations(_computations)
        super().__init__(computations, name=name, classes=classes)


tfma.metrics.metric_types.register_metric(ClassifierMetrics)


def _computations(
    name: str, classes: int, model_name: str = '', output_name: str = ''
) -> list[tfma.metrics.metric_types.MetricComputation]:
    key = tfma.metrics.MetricKey(name, model_name, output_name)
    return [tfma.metrics.metric_types.MetricComputation([key], None, _Combiner(key, classes))]


@dataclasses.dataclass
class _Accumulator:
    counts: Counts
    pairs: Pairs
    waiting: list[_Row]  # rows that are not counted yet


@dataclasses.dataclass(eq=False)
class _Combiner(beam.CombineFn):
    """Counts predictions in batches: one by one would take as long as inference."""

    key: tfma.metrics.MetricKey
    classes: int

    def create_accumulator(self) -> _Accumulator:
        return _Accumulator(no_counts(self.classes), Pairs(), [])

    def add_input(self, accumulator: _Accumulator, element: Any) -> _Accumulator:
        model = self.key.model_name or CANDIDATE  # TFMA omits the name of a single model
        predictions: Mapping[str, _Prediction] = element.predictions
        compared = None if model == CANDIDATE else predictions[CANDIDATE]
        accumulator.waiting.append((int(element.labels.item()), predictions[model], compared))
        is_full = len(accumulator.waiting) * self.classes >= _BATCH
        return self.compact(accumulator) if is_full else accumulator

    def merge_accumulators(self, parts: Iterable[_Accumulator]) -> _Accumulator:
        counts, pairs = no_counts(self.classes), Pairs()
        for part in map(self.compact, parts):
            counts, pairs = counts + part.counts, pairs + part.pairs
        return _Accumulator(counts, pairs, [])

    def compact(self, accumulator: _Accumulator) -> _Accumulator:
        if not accumulator.waiting:
            return accumulator
        true, given, compared = zip(*accumulator.waiting, strict=True)
        labels, predictions = np.array(true), _arrays(given)
        pairs = accumulator.pairs
        if compared[0] is not None:
            pairs += count_pairs(labels, candidate=_arrays(compared), other=predictions)
        return _Accumulator(accumulator.counts + count(labels, *predictions), pairs, [])

    def extract_output(self, accumulator: _Accumulator) -> dict[tfma.metrics.MetricKey, Any]:
        compact = self.compact(accumulator)
        counts = compact.counts
        confusion = counts.confusion.tocoo()
        entries = np.stack([confusion.row, confusion.col, confusion.data], axis=1).tolist()
        outputs = {
            IMAGES: counts.images,
            # As bytes: TFMA would also write the difference of arrays between two models.
            CONFUSION: json.dumps(entries).encode(),
            CURVES: curves(counts).model_dump_json().encode(),
            PAIRED: compact.pairs.model_dump_json().encode(),
            **{name: _bounded(each) for name, each in estimates(counts).items()},
        }
        return {self.key._replace(name=name): value for name, value in outputs.items()}


def _arrays(predictions: Sequence[_Prediction]) -> tuple[np.ndarray, np.ndarray]:
    """Predicted labels, int [images], and probabilities, float32 [images, 1 or classes]."""
    labels, rows = zip(*predictions, strict=True)
    return np.array(labels), np.array(rows)


def _bounded(estimate: Estimate) -> BoundedValue:
    """Converts to TFMA's proto, None to NaN."""
    numbers = (estimate.value, estimate.low, estimate.high)
    value, low, high = ({'value': math.nan if each is None else each} for each in numbers)
    return BoundedValue(value=value, lower_bound=low, upper_bound=high)
