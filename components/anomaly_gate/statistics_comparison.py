"""Compares statistics by TFDV's comparators, and says in sentences what moved too far."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from common.strict_model import StrictModel
from components.anomaly_gate.config import FEATURE_OF, SHARES, ValidationConfig

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList
_STANDARD_ERRORS = 4  # what shares of random splits differ by once in ten thousand times


def drift(
    span: int, new: Statistics, before: Statistics, config: ValidationConfig
) -> tuple[str, ...]:
    """Clauses such as "brightness of span 4 moved by 0.31 (limit 0.2)".

    Args:
        span: number of the newest span.
        new: statistics of its train split.
        before: those of the span before.
        config: the limits.
    """
    return tuple(
        f'{name} of span {span} moved by {distance:.2f} (limit {limit:g})'
        for name, distance, limit in _too_far('drift', new, before, config.drift, config.min_images)
    )


def skew(splits: Mapping[str, Statistics], config: ValidationConfig) -> tuple[str, ...]:
    """Clauses such as "class balance of test differs from train by 0.18 (limit 0.1)".

    Args:
        splits: statistics by the names of the splits of one span; `train` is one.
        config: the limits.
    """
    return tuple(
        f'{name} of {split} differs from train by {distance:.2f} (limit {limit:g})'
        for split, statistics in splits.items()
        if split != 'train'
        for name, distance, limit in _too_far(
            'skew', splits['train'], statistics, config.skew, config.min_images
        )
    )


def _too_far(
    kind: Literal['drift', 'skew'],
    one: Statistics,
    other: Statistics,
    limits: StrictModel,
    min_images: int,
) -> Iterator[tuple[str, float, float]]:
    """What is further apart than its limit: its name, how far, and the limit.

    Shares of few images are noise beyond any limit: what lies within four standard errors of the
    difference of two shares (at most a half each) is none.
    """
    counts = [each.datasets[0].num_examples for each in (one, other)]
    if min(counts) < min_images:
        return
    noise = _STANDARD_ERRORS * 0.5 * math.sqrt(sum(1 / count for count in counts))
    wanted = {key: limit for key, limit in limits if limit is not None}
    distances = _distances(kind, one, other, wanted)
    for key, limit in wanted.items():
        distance = distances.get(FEATURE_OF[key], 0.0)  # TFDV gives none where nothing differs
        if distance > max(limit, noise if key in SHARES else 0):
            yield key.replace('_', ' '), distance, limit


def _distances(
    kind: Literal['drift', 'skew'], one: Statistics, other: Statistics, limits: Mapping[str, float]
) -> dict[str, float]:
    """Distances by the names of the features, as TFDV's comparators measure them.

    Shares by the L-infinity norm, numbers by the Jensen-Shannon divergence of their histograms.
    """
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
