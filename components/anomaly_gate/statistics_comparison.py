"""Drift and skew of statistics, measured by TFDV's comparators."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from common.strict_model import StrictModel
from components.anomaly_gate.config import FEATURE_OF, SHARES, ValidationConfig

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList
_STANDARD_ERRORS = 4  # random splits differ by more once in ten thousand times


def drift(
    span: int, new: Statistics, before: Statistics, config: ValidationConfig
) -> tuple[str, ...]:
    """Describes drift above the thresholds: "brightness of span 4 moved by 0.31 (limit 0.2)".

    Args:
        span: number of the newest span.
        new: statistics of its train split.
        before: statistics of the previous span's train split.
        config: thresholds.
    """
    return tuple(
        f'{name} of span {span} moved by {distance:.2f} (limit {limit:g})'
        for name, distance, limit in _above_threshold(
            'drift', new, before, config.drift, config.min_images
        )
    )


def skew(splits: Mapping[str, Statistics], config: ValidationConfig) -> tuple[str, ...]:
    """Describes skew: "class balance of test differs from train by 0.18 (limit 0.1)".

    Args:
        splits: statistics by split name, including `train`.
        config: thresholds.
    """
    return tuple(
        f'{name} of {split} differs from train by {distance:.2f} (limit {limit:g})'
        for split, statistics in splits.items()
        if split != 'train'
        for name, distance, limit in _above_threshold(
            'skew', splits['train'], statistics, config.skew, config.min_images
        )
    )


def _above_threshold(
    kind: Literal['drift', 'skew'],
    one: Statistics,
    other: Statistics,
    limits: StrictModel,
    min_images: int,
) -> Iterator[tuple[str, float, float]]:
    """Yields (name, distance, threshold) of each measure above its threshold.

    A difference of shares also has to exceed four standard errors, computed for shares of a half.
    """
    counts = [each.datasets[0].num_examples for each in (one, other)]
    if min(counts) < min_images:
        return
    noise = _STANDARD_ERRORS * 0.5 * math.sqrt(sum(1 / count for count in counts))
    thresholds = {key: limit for key, limit in limits if limit is not None}
    distances = _distances(kind, one, other, thresholds)
    for key, limit in thresholds.items():
        distance = distances.get(FEATURE_OF[key], 0.0)  # TFDV omits equal features
        if distance > max(limit, noise if key in SHARES else 0):
            yield key.replace('_', ' '), distance, limit


def _distances(
    kind: Literal['drift', 'skew'], one: Statistics, other: Statistics, limits: Mapping[str, float]
) -> dict[str, float]:
    """Distances by feature: L-infinity norm of shares, Jensen-Shannon divergence of numbers."""
    schema = schema_pb2.Schema()
    for key, limit in limits.items():
        share = key in SHARES
        feature = schema.feature.add(
            name=FEATURE_OF[key], type=schema_pb2.BYTES if share else schema_pb2.FLOAT
        )
        comparator = getattr(feature, f'{kind}_comparator')
        norm = comparator.infinity_norm if share else comparator.jensen_shannon_divergence
        norm.threshold = limit
    others: dict[str, Any] = {'drift': 'previous_statistics', 'skew': 'serving_statistics'}
    found = tfdv.validate_statistics(one, schema, **{others[kind]: other})
    return {
        '/'.join(info.path.step): measurement.value
        for info in found.drift_skew_info
        for measurement in getattr(info, f'{kind}_measurements')
    }
