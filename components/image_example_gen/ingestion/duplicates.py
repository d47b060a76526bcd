"""Detects duplicates and near-duplicates, and assigns splits without train-test overlap.

Needs 70 bytes per image, so that millions of images fit into memory.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from common import features

# The index entry of an image. `split` is an index into SPLITS; `fixed`: the source put it in train.
IMAGE = np.dtype(
    [
        ('sha256', 'u1', 32),
        ('perceptual', 'u1', 32),
        ('label', '<u4'),
        ('split', 'u1'),
        ('fixed', '?'),
    ]
)
TRAIN = features.SPLITS.index('train')
# Values next to the indices into SPLITS: the image is not used.
DUPLICATE, LABEL_CONFLICT, SPLIT_CONFLICT = 3, 4, 5

SAME_PICTURE = 12  # bits: most by which the perceptual hash of a picture changes when saved again
_BAND = '>u2'  # sixteen bands of 16 bits: of two hashes up to 15 bits apart, one band is equal
_MOST_IN_A_BAND = 256  # neighbours that an image is compared with, in one band
_MOST_PAIRS = 2**20  # held in memory
_BIT_COUNTS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).sum(
    1, dtype=np.uint8
)


@dataclasses.dataclass(frozen=True)
class SplitAssignment:
    """The splits of the images of a span.

    Attributes:
        splits: uint8 [n]: an index into SPLITS, DUPLICATE, LABEL_CONFLICT, or SPLIT_CONFLICT for an
            image with near-duplicates in two splits of other spans.
        other_labels: int64 [n]: the other label of each LABEL_CONFLICT.
        repeated: number of images with the same bytes as an image of another span; they are used.
        conflicting: bool [m]: images of other spans that cause a conflict.
    """

    splits: np.ndarray
    other_labels: np.ndarray
    repeated: int
    conflicting: np.ndarray


def assign_splits(images: np.ndarray, earlier: np.ndarray, near: int) -> SplitAssignment:
    """Assigns a split to each image, or the reason why it is not used.

    - Images with the same bytes and label: the first is used.
    - The same bytes, or the same picture saved again, under two labels: none is used.
    - Near-duplicates share one split, so that no test image has a near-duplicate in train: their
      split in other spans; else train if the source put one of them there; else the split of the
      image with the lowest digest.

    Args:
        images: IMAGE [n], with the split that each image has on its own.
        earlier: IMAGE [m], of spans that are already written; their splits do not change.
        near: largest distance between the perceptual hashes of near-duplicates, in bits of 256;
            0 compares bytes only.
    """
    work = _Assignment(np.concatenate([earlier, images]), len(earlier))
    work.resolve_same_bytes()
    if near:
        groups = _Groups(len(work.index))
        used = np.flatnonzero(work.splits < DUPLICATE)
        for pairs, distances in near_pairs(work.index['perceptual'][used], near):
            pairs = used[pairs]
            work.exclude_label_conflicts(pairs[distances <= SAME_PICTURE])
            groups.join(pairs)
        work.unify_splits(groups.members())
    new = work.is_new
    return SplitAssignment(
        work.splits[new], work.other_labels[new], work.repeated, work.conflicting[~new]
    )


def near_pairs(hashes: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields pairs of hashes within a Hamming distance, and their distances, in chunks.

    Finds all pairs up to 15 bits apart, and most pairs that are further apart: it compares hashes
    that are equal in one of sixteen bands (locality-sensitive hashing; Norouzi et al., "Fast Search
    in Hamming Space with Multi-Index Hashing", CVPR 2012). Where more than a few hundred hashes are
    equal in a band, such as the frames of a film, each is compared with its next neighbours in
    sorted order. A hash of zeros belongs to an image without structure and matches nothing.

    Args:
        hashes: uint8 [n, 32].
        most: the largest distance.

    Yields:
        int64 [m, 2] and uint16 [m]; a pair may be repeated.
    """
    places = np.flatnonzero(hashes.any(axis=1))
    keys = np.ascontiguousarray(hashes[places]).view('S32').ravel()
    order = np.argsort(keys, kind='stable')
    same = keys[order[1:]] == keys[order[:-1]]
    equal = places[np.stack([order[:-1][same], order[1:][same]], axis=1)]
    yield equal, np.zeros(len(equal), np.uint16)
    first = order[np.r_[True, ~same]] if len(order) else order
    places, keys = places[first], keys[first]
    bands = np.ascontiguousarray(hashes[places]).view(_BAND)
    for band in range(bands.shape[1]):
        order = np.lexsort((keys, bands[:, band]))
        values = bands[order, band]
        for offset in range(1, min(_MOST_IN_A_BAND, len(order))):
            equal = np.flatnonzero(values[offset:] == values[:-offset])
            if not len(equal):
                break
            pairs = places[np.stack([order[equal], order[equal + offset]], axis=1)]
            differing = hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]
            distances = _BIT_COUNTS[differing].sum(1, dtype=np.uint16)
            yield pairs[distances <= most], distances[distances <= most]


class _Assignment:
    """Images of other spans followed by new ones, and their splits so far."""

    def __init__(self, index: np.ndarray, earlier: int) -> None:
        self.index = index
        self.is_new = np.arange(len(index)) >= earlier
        self.splits = index['split'].copy()
        self.other_labels = np.full(len(index), -1)
        self.repeated = 0
        self.conflicting = np.zeros(len(index), bool)
        self._fixed = index['fixed'].copy()

    def resolve_same_bytes(self) -> None:
        """Uses the first of new images with the same bytes, or none if their labels differ."""
        digests = np.ascontiguousarray(self.index['sha256']).view('S32').ravel()
        order = np.argsort(digests, kind='stable')  # other spans first, then in order
        groups = np.split(order, np.flatnonzero(digests[order][1:] != digests[order][:-1]) + 1)
        for group in filter(lambda each: len(each) > 1, groups):
            new, labels = group[self.is_new[group]], self.index['label'][group]
            if len(np.unique(labels)) > 1:
                self._exclude(group, labels)
            elif len(new):
                self._fixed[new[0]] = self._fixed[new].any()
                self.splits[new[1:]] = DUPLICATE
                self.repeated += bool(len(group) - len(new))
        kept_in_train = self._fixed & self.is_new & (self.splits < DUPLICATE)
        self.splits[kept_in_train] = TRAIN

    def exclude_label_conflicts(self, pairs: np.ndarray) -> None:
        """Excludes new images that show the same picture as an image of another class."""
        labels = self.index['label'][pairs]
        differ = labels[:, 0] != labels[:, 1]
        for pair, both in zip(pairs[differ], labels[differ], strict=True):
            self._exclude(pair, both)

    def _exclude(self, group: np.ndarray, labels: np.ndarray) -> None:
        for image, label in zip(group, labels, strict=True):
            if self.is_new[image]:
                self.splits[image] = LABEL_CONFLICT
                self.other_labels[image] = labels[labels != label][0]
            else:
                self.conflicting[image] = True

    def unify_splits(self, groups: list[np.ndarray]) -> None:
        """Puts the near-duplicates of each group in one split."""
        for members in groups:
            members = members[self.splits[members] < DUPLICATE]
            new, old = members[self.is_new[members]], members[~self.is_new[members]]
            old_splits = np.unique(self.splits[old])
            if not len(new):
                continue
            if len(old_splits) > 1:
                self.splits[new] = SPLIT_CONFLICT
                self.conflicting[old] = True
            elif len(old_splits):
                self.splits[new] = old_splits[0]
            elif self._fixed[new].any():
                self.splits[new] = TRAIN
            else:
                lowest = min(new, key=lambda each: self.index['sha256'][each].tobytes())
                self.splits[new] = self.splits[lowest]


class _Groups:
    """Connected components of the graph of pairs; compacts the pairs to bound memory."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pairs = [np.empty((0, 2), np.int64)]
        self._held = 0

    def join(self, pairs: np.ndarray) -> None:
        self._pairs.append(pairs)
        self._held += len(pairs)
        if self._held > _MOST_PAIRS + self._count:
            self._compact()

    def members(self) -> list[np.ndarray]:
        """The images of each group of two or more."""
        pairs = np.concatenate(self._pairs)
        components, inside = self._components(pairs), np.unique(pairs)
        order = inside[np.argsort(components[inside], kind='stable')]
        boundaries = np.flatnonzero(np.diff(components[order])) + 1
        return np.split(order, boundaries) if len(order) else []

    def _compact(self) -> None:
        """Keeps one pair for each image of a group: the first of the group, and the image."""
        _, first, components = np.unique(
            self._components(np.concatenate(self._pairs)), return_index=True, return_inverse=True
        )
        images = np.flatnonzero(first[components] != np.arange(self._count))
        self._pairs = [np.stack([first[components[images]], images], axis=1)]
        self._held = len(images)

    def _components(self, pairs: np.ndarray) -> np.ndarray:
        graph = scipy.sparse.coo_array((np.ones(len(pairs), bool), pairs.T), (self._count,) * 2)
        return np.asarray(scipy.sparse.csgraph.connected_components(graph, directed=False)[1])
