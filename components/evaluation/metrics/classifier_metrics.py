"""TFMA metric of classifiers: computes all of `results.METRICS`, with intervals, in one pass.

Imports no TFX, which Beam's workers may lack.

Why TFMA's own metrics do not fit: `docs/decisions/0013-metrics-and-intervals.md`.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics.metric_util import merge_per_key_computations

# The package itself has these names only after an import of TFX, which Beam's workers may lack.
from tensorflow_model_analysis.proto import config_pb2

from components.evaluation.config import SLICED_BY, EvaluationConfig, minimum_of
from components.evaluation.metrics.estimates import Judged, curves, estimates
from components.evaluation.predictions.prediction_files import read_rows
from components.evaluation.results import (
    CANDIDATE,
    CONFUSION,
    CURVES,
    HIGH,
    IMAGES,
    LOW,
    REFERENCE,
    ROUNDING,
)

_MOST_PARTS = 1024  # before they are joined
# Predictions of a model, in parts that are joined from time to time.
_Accumulator = list[Judged]


def eval_config(
    models: Sequence[str], config: EvaluationConfig, images: Sequence[int]
) -> config_pb2.EvalConfig:
    """Configures TFMA: metrics of each model on all images and slices, and the minimum.

    `images` is the number of test images of each class.
    """
    metric = config_pb2.MetricConfig(
        class_name=ClassifierMetrics.__name__, module=ClassifierMetrics.__module__
    )
    everything = config_pb2.SlicingSpec()
    slices = [config_pb2.SlicingSpec(feature_keys=[name]) for name in SLICED_BY]
    name, least = minimum_of(config, images)
    threshold = config_pb2.GenericValueThreshold(lower_bound={'value': least - ROUNDING})
    minimum = config_pb2.PerSliceMetricThreshold(  # one without a slice would apply to every slice
        slicing_specs=[everything],
        threshold=config_pb2.MetricThreshold(value_threshold=threshold),
    )
    thresholds = config_pb2.PerSliceMetricThresholds(thresholds=[minimum])
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(name=name, is_baseline=name == REFERENCE) for name in models
        ],
        slicing_specs=[everything, *slices],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[metric], model_names=models, per_slice_thresholds={name: thresholds}
            )
        ],
    )


def read_extracts(files: dict[str, Path]) -> Iterator[dict[str, Any]]:
    """Reads the predictions of several models, by name, as TFMA's extracts."""
    for row in read_rows(files):
        label = np.array([row.label])
        yield {
            tfma.FEATURES_KEY: {name: np.array([each]) for name, each in row.slices.items()},
            tfma.LABELS_KEY: label,
            tfma.PREDICTIONS_KEY: {
                name: Judged(label, np.array([predicted]), row.probability[name][np.newaxis])
                for name, predicted in row.predicted.items()
            },
            tfma.EXAMPLE_WEIGHTS_KEY: np.ones(1),
        }


class ClassifierMetrics(tfma.metrics.Metric):
    """All metrics of `results.METRICS`, for two or more classes.

    The predictions of an image are `Judged` by name of the model. The ends of the intervals are
    metrics of their own, for the threshold: TFMA compares single numbers.
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
    """Collects the predictions of a model."""

    key: tfma.metrics.MetricKey

    def create_accumulator(self) -> _Accumulator:
        return []

    def add_input(self, accumulator: _Accumulator, element: Any) -> _Accumulator:
        # TFMA omits the name of a single model.
        accumulator.append(element.predictions[self.key.model_name or CANDIDATE])
        return self.compact(accumulator) if len(accumulator) > _MOST_PARTS else accumulator

    def merge_accumulators(self, accumulators: Iterable[_Accumulator]) -> _Accumulator:
        return list(itertools.chain.from_iterable(accumulators))

    def compact(self, accumulator: _Accumulator) -> _Accumulator:
        return [_joined(accumulator)] if accumulator else []

    def extract_output(self, accumulator: _Accumulator) -> dict[tfma.metrics.MetricKey, Any]:
        judged = _joined(accumulator)
        outputs: dict[str, Any] = {
            IMAGES: len(judged.labels),
            CONFUSION: json.dumps(_confusion(judged)).encode(),
            CURVES: curves(judged).model_dump_json().encode(),
        }
        for name, each in estimates(judged).items():
            outputs[name] = np.nan if each.value is None else each.value
            if each.low is not None and each.high is not None:
                outputs |= {f'{name}{LOW}': each.low, f'{name}{HIGH}': each.high}
        # Thresholds by name have keys without weights.
        key = self.key._replace(example_weighted=None)
        return {key._replace(name=name): value for name, value in outputs.items()}


def _joined(parts: _Accumulator) -> Judged:
    return Judged(*map(np.concatenate, zip(*parts, strict=True)))


def _confusion(judged: Judged) -> list[tuple[int, int, int]]:
    """Label, prediction and number of images, without empty cells and NaN predictions."""
    cells = np.stack([judged.labels, judged.predicted])[:, judged.finite]
    (labels, predicted), images = np.unique(cells, axis=1, return_counts=True)
    return list(zip(labels.tolist(), predicted.tolist(), images.tolist(), strict=True))
