"""Drift and skew of statistics, measured by TFDV's comparators."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from common import features
from components.anomaly_gate.config import ValidationConfig

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList

_SHARES = ('class_balance', 'format')  # compared by L-infinity norm
_STANDARD_ERRORS = 4  # random splits differ by more once in ten thousand times


def feature_of(measure: str) -> str:
    """The feature of a threshold, such as `image/brightness` of `brightness`."""
    return features.CLASS_NAME if measure == 'class_balance' else f'image/{measure}'


def drift(
    span: int, new: Statistics, before: Statistics, config: ValidationConfig
) -> tuple[str, ...]:
    """Describes drift from the previous span: "brightness of span 4 moved by 0.31 (limit 0.2)"."""
    found = _above_threshold('drift', new, before, config)
    return tuple(f'{measure} of span {span} moved by {distance}' for measure, distance in found)


def skew(splits: Mapping[str, Statistics], config: ValidationConfig) -> tuple[str, ...]:
    """Describes skew: "class balance of test differs from train by 0.18 (limit 0.1)"."""
    return tuple(
        f'{measure} of {split} differs from train by {distance}'
        for split, statistics in splits.items()
        for measure, distance in _above_threshold('skew', splits['train'], statistics, config)
    )


def _above_threshold(
    kind: Literal['drift', 'skew'], one: Statistics, other: Statistics, config: ValidationConfig
) -> Iterator[tuple[str, str]]:
    """Yields the measures above their thresholds, such as ("class balance", "0.18 (limit 0.1)").

    A difference of shares also has to exceed four standard errors, computed for shares of a half.
    """
    counts = [each.datasets[0].num_examples for each in (one, other)]
    if min(counts) < config.min_images:
        return
    noise = _STANDARD_ERRORS * 0.5 * math.sqrt(sum(1 / count for count in counts))
    limits = {measure: limit for measure, limit in getattr(config, kind) if limit is not None}
    distances = _distances(kind, one, other, limits)
    for measure, limit in limits.items():
        distance = distances.get(feature_of(measure), 0.0)  # TFDV omits equal features
        if distance > max(limit, noise if measure in _SHARES else 0):
            yield measure.replace('_', ' '), f'{distance:.2f} (limit {limit:g})'


def _distances(
    kind: Literal['drift', 'skew'], one: Statistics, other: Statistics, limits: Mapping[str, float]
) -> dict[str, float]:
    """Distances by feature: L-infinity norm of shares, Jensen-Shannon divergence of numbers."""
    schema = schema_pb2.Schema()
    for measure, limit in limits.items():
        feature = schema.feature.add(name=feature_of(measure))
        comparator = getattr(feature, f'{kind}_comparator')
        if measure in _SHARES:
            feature.type = schema_pb2.BYTES
            comparator.infinity_norm.threshold = limit
        else:
            feature.type = schema_pb2.FLOAT
            comparator.jensen_shannon_divergence.threshold = limit
    others: dict[str, Any] = {'drift': 'previous_statistics', 'skew': 'serving_statistics'}
    found = tfdv.validate_statistics(one, schema, **{others[kind]: other})
    return {
        '/'.join(info.path.step): measurement.value
        for info in found.drift_skew_info
        for measurement in getattr(info, f'{kind}_measurements')
    }
