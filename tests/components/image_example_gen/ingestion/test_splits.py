import hashlib
import itertools

import numpy as np
import pytest
import tensorflow as tf
from tfx.components.example_gen.base_example_gen_executor import _PartitionFn
from tfx.proto import example_gen_pb2

from common import features
from components.image_example_gen.ingestion.splits import (
    PARTS,
    boundaries,
    position_of,
    stratify,
)
from components.image_example_gen.sources.base.data_config import SplitConfig

CONFIG = SplitConfig()
DIGESTS = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(1000)]


def splits_of(positions, sizes=None, labels=None, part=None, taken=((0, 0, 0),)):
    """The splits of units of one class, or of several."""
    count = len(positions)
    return stratify(
        np.zeros(count, int) if labels is None else labels,
        np.asarray(positions),
        np.ones(count, int) if sizes is None else sizes,
        np.full(count, PARTS.index(part)),
        np.array(taken),
        boundaries(CONFIG),
    )


def by_digest(digest, part=None, config=CONFIG):
    """The split of an image alone: that of its position."""
    limits = boundaries(config)[PARTS.index(part)]
    return features.SPLITS[int(np.searchsorted(limits, position_of(digest, part, config), 'right'))]


@pytest.mark.parametrize('shares', [(3, 1, 1), (8, 1, 2)])
def test_positions_divide_as_example_gen_does(shares):
    splits = SplitConfig(**dict(zip(features.SPLITS, shares, strict=True)))
    config = example_gen_pb2.SplitConfig(partition_feature_name=features.SHA256)
    buckets = list(itertools.accumulate(shares))

    for digest in DIGESTS[:100]:
        key = tf.train.Feature(bytes_list=tf.train.BytesList(value=[digest.encode()]))
        example = tf.train.Example(features=tf.train.Features(feature={features.SHA256: key}))
        expected = features.SPLITS[_PartitionFn(example, 3, buckets, config)]
        assert by_digest(digest, config=splits) == expected


@pytest.mark.parametrize(
    ('part', 'splits', 'expected'),
    [
        ('eval_and_test', {'test_share_of_validation': 0.1}, {'eval': 0.9, 'test': 0.1}),
        ('train_and_eval', {'test': 6}, {'train': 0.75, 'eval': 0.25}),
    ],
)
def test_parts_are_divided_within(part, splits, expected):
    found = [by_digest(digest, part, SplitConfig(**splits)) for digest in DIGESTS]
    assert set(found) == {*expected}
    assert found.count('eval') / len(found) == pytest.approx(expected['eval'], abs=0.04)
    drawn = splits_of(np.random.default_rng(0).random(10), part=part)
    assert {features.SPLITS[split] for split in drawn} == {*expected}


@pytest.mark.parametrize('size', [3, 10, 40, 1000, 12500])
def test_boundaries_are_within_the_tolerance_and_no_split_is_empty(size):
    for seed in range(1 + 2000 // size):
        positions = np.random.default_rng(seed).random(size)
        counts = np.bincount(splits_of(positions), minlength=3)
        assert (counts > 0).all()
        ends, expected = counts.cumsum()[:2], np.array([0.6, 0.8]) * size
        assert (np.abs(ends - expected) <= max(1, 0.05 * size) + 1e-9).all()


@pytest.mark.parametrize(('size', 'moved'), [(40, 0.025), (1000, 0), (12500, 0)])
@pytest.mark.parametrize('change', [-0.1, 0.1])
def test_few_images_move_when_others_are_added_or_removed(size, moved, change):
    shares = []
    for seed in range(1 + 8000 // size):
        positions = np.random.default_rng(seed).random(size + round(size * abs(change)))
        before, after = (positions, positions[:size])[:: 1 if change < 0 else -1]
        one, other = splits_of(before)[:size], splits_of(after)[:size]
        shares.append((one != other).mean())
    assert np.mean(shares) <= moved


def test_classes_are_divided_each_for_itself():
    labels = np.arange(90) % 9
    splits = splits_of(np.random.default_rng(0).random(90), labels=labels, taken=[(0, 0, 0)] * 9)
    assert all(len({*splits[labels == label]}) == 3 for label in range(9))


def test_large_groups_are_not_cut():
    splits = splits_of([0.1, 0.3, 0.5], sizes=np.array([90, 5, 5]))
    assert splits.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ('taken', 'new', 'expected'),
    [
        ((6, 2, 2), [0.1, 0.7], [0, 1]),  # by their positions
        ((6, 2, 0), [0.1], [2]),  # an empty split is filled
        ((9, 0, 0), [0.1, 0.2], [1, 2]),
        ((0, 0, 0), [0.9], [0]),  # with one image, train is first
        ((0, 0, 0), [0.8, 0.9], [0, 2]),
        ((60, 20, 0), [0.1, 0.2, 0.3], [2, 2, 2]),  # outside the tolerance
        ((0, 60, 0), [0.1, 0.2, 0.3, 0.4], [0, 0, 2, 2]),
    ],
)
def test_images_whose_split_is_given_count(taken, new, expected):
    assert splits_of(new, taken=[taken]).tolist() == expected
