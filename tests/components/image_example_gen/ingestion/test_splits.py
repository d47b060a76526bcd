import numpy as np
import pytest

from common.features import SPLITS
from components.image_example_gen.ingestion.splits import PARTS, boundaries, stratify
from components.image_example_gen.sources.base.data_config import SplitConfig


def splits_of(positions, labels=None, part=None, sizes=None, taken=((0, 0, 0),), **shares):
    """The splits of units of one class, or of several."""
    count = len(positions)
    return stratify(
        np.zeros(count, int) if labels is None else labels,
        np.asarray(positions),
        np.ones(count, int) if sizes is None else sizes,
        np.full(count, PARTS.index(part)),
        np.array(taken),
        boundaries(SplitConfig(**shares)),
    )


def drawn(seed, size):
    return np.random.default_rng(seed).random(size)


@pytest.mark.parametrize(
    ('part', 'shares', 'expected'),
    [
        (None, {}, [0.6, 0.2, 0.2]),
        (None, {'train': 8, 'eval': 1, 'test': 2}, [8 / 11, 1 / 11, 2 / 11]),
        ('eval_and_test', {'test_share_of_validation': 0.1}, [0, 0.9, 0.1]),
        ('train_and_eval', {'test': 6}, [0.75, 0.25, 0]),
    ],
)
def test_shares_are_those_of_the_recipe_and_the_part(part, shares, expected):
    counts = np.bincount(splits_of(drawn(0, 10_000), part=part, **shares), minlength=3)
    assert counts / 10_000 == pytest.approx(expected, abs=0.02)
    few = splits_of(drawn(0, 10), part=part, **shares)
    assert {SPLITS[split] for split in few} == {
        s for s, e in zip(SPLITS, expected, strict=True) if e
    }


@pytest.mark.parametrize('size', [3, 10, 40, 1000, 12500])
def test_boundaries_are_within_the_tolerance_and_no_split_is_empty(size):
    for seed in range(1 + 2000 // size):
        counts = np.bincount(splits_of(drawn(seed, size)), minlength=3)
        assert (counts > 0).all()
        ends, expected = counts.cumsum()[:2], np.array([0.6, 0.8]) * size
        assert (np.abs(ends - expected) <= max(1, 0.05 * size) + 1e-9).all()


@pytest.mark.parametrize(('size', 'moved'), [(40, 0.025), (1000, 0), (12500, 0)])
@pytest.mark.parametrize('change', [-0.1, 0.1])
def test_few_images_move_when_others_are_added_or_removed(size, moved, change):
    shares = []
    for seed in range(1 + 8000 // size):
        positions = drawn(seed, size + round(size * abs(change)))
        before, after = (positions, positions[:size])[:: 1 if change < 0 else -1]
        one, other = splits_of(before)[:size], splits_of(after)[:size]
        shares.append((one != other).mean())
    assert np.mean(shares) <= moved


def test_classes_are_divided_each_for_itself():
    labels = np.arange(90) % 9
    splits = splits_of(drawn(0, 90), labels, taken=[(0, 0, 0)] * 9)
    assert all(len({*splits[labels == label]}) == 3 for label in range(9))


def test_large_groups_are_not_cut():
    assert splits_of([0.1, 0.3, 0.5], sizes=np.array([90, 5, 5])).tolist() == [0, 1, 2]


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
