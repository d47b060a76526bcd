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

    Shares are compared by L-infinity norm, numbers by Jensen-Shannon divergence. A difference of
    shares also has to exceed four standard errors, computed for shares of a half.
    """
    counts = [each.datasets[0].num_examples for each in (one, other)]
    if min(counts) < config.min_images:
        return
    noise = _STANDARD_ERRORS * 0.5 * math.sqrt(sum(1 / count for count in counts))
    schema, limits = schema_pb2.Schema(), {}
    for measure, limit in getattr(config, kind):
        if limit is None:
            continue
        name = features.CLASS_NAME if measure == 'class_balance' else f'image/{measure}'
        limits[name] = measure.replace('_', ' '), limit
        feature = schema.feature.add(name=name)
        comparator = getattr(feature, f'{kind}_comparator')
        if measure in _SHARES:
            feature.type = schema_pb2.BYTES
            comparator.infinity_norm.threshold = max(limit, noise)
        else:
            feature.type = schema_pb2.FLOAT
            comparator.jensen_shannon_divergence.threshold = limit
    others: dict[str, Any] = {'drift': 'previous_statistics', 'skew': 'serving_statistics'}
    found = tfdv.validate_statistics(one, schema, **{others[kind]: other})
    for info in found.drift_skew_info:
        measure, limit = limits['/'.join(info.path.step)]
        for each in getattr(info, f'{kind}_measurements'):
            if each.value > each.threshold:
                yield measure, f'{each.value:.2f} (limit {limit:g})'
