"""Stratified splits: thresholds on a digest, the same for every class, repaired where they are off.

A unit is an image, or the images that must share a split. Its position in [0, 1) depends on nothing
but its digest, and the splits are ranges of positions. So an image added or removed moves no other
one, except in a class that is so small that a boundary is off.
"""

import numpy as np

from common.features import SPLITS
from components.image_example_gen.sources.base.data_config import SplitConfig
from components.image_example_gen.sources.base.parts import Part

# The index entry of an image has an index into PARTS; from FIXED on, the source chose the split.
PARTS: tuple[Part | None, ...] = (None, 'train_and_eval', 'eval_and_test', 'train', 'eval', 'test')
# Whether an image of a part may be in a split: bool [6, 3].
ALLOWED = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], bool)
TRAIN, EVAL, TEST = range(3)

_TOLERANCE = 0.25  # of the smaller share next to a boundary


def boundaries(config: SplitConfig) -> np.ndarray:
    """Where eval and test begin, for each part that is not FIXED: float [3, 2]."""
    both = config.train + config.eval
    total = both + config.test
    return np.array(
        [
            [config.train / total, both / total],
            [config.train / both, 1.0],
            [0.0, 1 - config.test_share_of_validation],
        ]
    )


def stratify(
    labels: np.ndarray,
    positions: np.ndarray,
    sizes: np.ndarray,
    parts: np.ndarray,
    taken: np.ndarray,
    limits: np.ndarray,
) -> np.ndarray:
    """The splits of units: int [n], indices into SPLITS.

    In each class, a boundary moves to the nearest unit inside the tolerance if it is off by more
    than a quarter of the smaller share next to it (and one image), or if a split would be empty.

    Args:
        labels: int [n].
        positions: float [n].
        sizes: int [n], images of each unit.
        parts: int [n], indices into PARTS, below FIXED.
        taken: int [classes, 3], images whose splits are given.
        limits: float [3, 2], from `boundaries`.
    """
    taken, splits = taken.copy(), np.empty(len(labels), np.int64)
    keys = parts.astype(np.int64) * len(taken) + labels
    order = np.lexsort((positions, keys))
    starts = np.flatnonzero(np.diff(keys[order])) + 1
    for units in np.split(order, starts) if len(order) else ():
        part, label = divmod(keys[units[0]], len(taken))
        given = taken[label] * ALLOWED[part]
        ends = _divide(positions[units], sizes[units], given, limits[part])
        splits[units] = np.searchsorted(ends, np.arange(len(units)), 'right')
        taken[label] += np.bincount(splits[units], sizes[units], len(SPLITS)).astype(int)
    return splits


def _divide(
    positions: np.ndarray, sizes: np.ndarray, taken: np.ndarray, limits: np.ndarray
) -> tuple[int, int]:
    """The numbers of units, in the order of their positions, before eval and before test."""
    filled = np.concatenate([[0], np.cumsum(sizes)])
    shares, images = np.diff(limits, prepend=0, append=1), taken.sum() + filled[-1]
    places = np.searchsorted(positions, limits)
    for number, limit in enumerate(limits):
        images_before = taken[: number + 1].sum() + filled
        tolerance = max(1, _TOLERANCE * shares[number : number + 2].min() * images)
        places[number] = np.clip(places[number], *_range(images_before, limit * images, tolerance))
    empty = (taken == 0) & (shares > 0)
    for split in (EVAL, TEST):  # with fewer units than empty splits, train is first
        empty[split] &= empty.sum() <= len(sizes)
    if places[0] > places[1]:  # too many images in eval are given
        places[:] = places.sum() // 2
    first = np.clip(places[0], empty[TRAIN], len(sizes) - empty[EVAL] - empty[TEST])
    return first, np.clip(places[1], first + empty[EVAL], len(sizes) - empty[TEST])


def _range(before: np.ndarray, target: float, tolerance: float) -> tuple[int, int]:
    """The first and last place of a boundary whose number of images before it is tolerable."""
    first = min(int(np.searchsorted(before, target - tolerance)), len(before) - 1)
    last = max(int(np.searchsorted(before, target + tolerance, 'right')) - 1, 0)
    if first > last:  # a unit is larger than the tolerance
        first = last = first if before[first] - target < target - before[last] else last
    return first, last
