"""TFMA metric of classifiers: computes all of `results.METRICS`, with intervals, in one pass.

Why TFMA's own metrics do not fit: `docs/decisions/0013-metrics-and-intervals.md`.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics.metric_util import merge_per_key_computations

# The package itself has these names only after an import of TFX, which Beam's workers may lack.
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.proto.metrics_for_slice_pb2 import BoundedValue

from components.evaluation.config import SLICED_BY
from components.evaluation.metrics.estimates import Judged, compare, curves, estimates
from components.evaluation.results import (
    CANDIDATE,
    CONFUSION,
    CURVES,
    IMAGES,
    PAIRED,
    Estimate,
)

_MOST_PARTS = 1024  # before they are joined
# Predictions by model, in parts that are joined from time to time.
_Accumulator = list[dict[str, Judged]]


def eval_config(models: Sequence[str]) -> config_pb2.EvalConfig:
    """Configures TFMA: metrics of each model on all images and slices, without thresholds."""
    metric = config_pb2.MetricConfig(
        class_name=ClassifierMetrics.__name__, module=ClassifierMetrics.__module__
    )
    slices = [config_pb2.SlicingSpec(feature_keys=[name]) for name in SLICED_BY]
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(name=name) for name in models],
        slicing_specs=[config_pb2.SlicingSpec(), *slices],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[metric], model_names=models)],
    )


class ClassifierMetrics(tfma.metrics.Metric):
    """All metrics of `results.METRICS`, for two or more classes.

    The predictions of an image are `Judged` by name of the model. A model other than the candidate
    is also compared with it, image by image.
    """

    def __init__(self, name: str = 'classifier') -> None:
        super().__init__(merge_per_key_computations(_computations), name=name)


tfma.metrics.metric_types.register_metric(ClassifierMetrics)


def _computations(
    name: str, model_name: str = '', output_name: str = ''
) -> list[tfma.metrics.metric_types.MetricComputation]:
    key = tfma.metrics.MetricKey(name, model_name, output_name)
    return [tfma.metrics.metric_types.MetricComputation([key], None, _Combiner(key))]


@dataclasses.dataclass(eq=False)
class _Combiner(beam.CombineFn):
    """Collects the predictions of a model, and those of the candidate for comparison."""

    key: tfma.metrics.MetricKey

    @property
    def _model(self) -> str:
        return self.key.model_name or CANDIDATE  # TFMA omits the name of a single model

    def create_accumulator(self) -> _Accumulator:
        return []

    def add_input(self, accumulator: _Accumulator, element: Any) -> _Accumulator:
        accumulator.append({name: element.predictions[name] for name in (CANDIDATE, self._model)})
        return self.compact(accumulator) if len(accumulator) > _MOST_PARTS else accumulator

    def merge_accumulators(self, accumulators: Iterable[_Accumulator]) -> _Accumulator:
        return list(itertools.chain.from_iterable(accumulators))

    def compact(self, accumulator: _Accumulator) -> _Accumulator:
        return [_joined(accumulator)] if accumulator else []

    def extract_output(self, accumulator: _Accumulator) -> dict[tfma.metrics.MetricKey, Any]:
        joined = _joined(accumulator)
        judged = joined[self._model]
        outputs = {
            IMAGES: len(judged.labels),
            CONFUSION: json.dumps(_confusion(judged)).encode(),
            CURVES: curves(judged).model_dump_json().encode(),
            **{name: _bounded(each) for name, each in estimates(judged).items()},
        }
        if self._model != CANDIDATE:
            outputs[PAIRED] = compare(joined[CANDIDATE], judged).model_dump_json().encode()
        return {self.key._replace(name=name): value for name, value in outputs.items()}


def _joined(parts: _Accumulator) -> dict[str, Judged]:
    return {
        name: Judged(*map(np.concatenate, zip(*(part[name] for part in parts), strict=True)))
        for name in parts[0]
    }


def _confusion(judged: Judged) -> list[tuple[int, int, int]]:
    """Label, prediction and number of images, without empty cells and NaN predictions."""
    cells = np.stack([judged.labels, judged.predicted])[:, judged.finite]
    (labels, predicted), images = np.unique(cells, axis=1, return_counts=True)
    return list(zip(labels.tolist(), predicted.tolist(), images.tolist(), strict=True))


def _bounded(estimate: Estimate) -> BoundedValue:
    """Converts to TFMA's proto, None to NaN."""
    numbers = (estimate.value, estimate.low, estimate.high)
    value, low, high = ({'value': math.nan if each is None else each} for each in numbers)
    return BoundedValue(value=value, lower_bound=low, upper_bound=high)
