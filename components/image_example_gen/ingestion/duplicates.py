"""Detects duplicates and near-duplicates, and assigns splits without train-test overlap.

Needs about 100 bytes per image, so that millions of images fit into memory.
"""

from collections.abc import Iterator

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from common import features

# The index entry of an image. `split` is an index into SPLITS; `fixed`: the source put it in train.
_SHA256, _PERCEPTUAL = ('sha256', 'u1', 32), ('perceptual', 'u1', 32)
IMAGE = np.dtype([_SHA256, _PERCEPTUAL, ('label', '<u4'), ('split', 'u1'), ('fixed', '?')])
TRAIN = features.SPLITS.index('train')
# Why an image is not used, next to the indices into SPLITS. SPLIT_CONFLICT: near-duplicates of it
# are in two splits of other spans.
DUPLICATE, LABEL_CONFLICT, SPLIT_CONFLICT = 3, 4, 5

SAME_PICTURE = 12  # bits: most by which the perceptual hash of a picture changes when saved again
_BAND = '>u2'  # sixteen bands of 16 bits: of two hashes up to 15 bits apart, one band is equal
_MOST_IN_A_BAND = 256  # neighbours that an image is compared with, in one band
_BIT_COUNTS = np.array([bin(byte).count('1') for byte in range(256)], np.uint8)


class SplitAssignment:
    """The splits of the new images of a span, or the reasons why they are not used.

    - Images with the same bytes and label: the first is used.
    - The same bytes, or the same picture saved again, under two labels: none is used.
    - Near-duplicates share one split: theirs in other spans; else train if the source put one of
      them there; else that of the image with the lowest digest.

    Args:
        images: IMAGE [n], with the split that each image has on its own.
        earlier: IMAGE [m], of spans that are already written; their splits do not change.
        near: largest distance between the perceptual hashes of near-duplicates, in bits of 256;
            0 compares bytes only.

    Attributes:
        splits: uint8 [n]: an index into SPLITS, or why the image is not used.
        other_labels: int64 [n]: the other label of each LABEL_CONFLICT.
        repeated: number of used images with the same bytes as an image of another span.
        conflicting: bool [m]: images of other spans that cause a conflict.
    """

    def __init__(self, images: np.ndarray, earlier: np.ndarray, near: int) -> None:
        self._index = np.concatenate([earlier, images])
        self._is_new = np.arange(len(self._index)) >= len(earlier)
        self._splits = self._index['split'].copy()
        self._other_labels = np.full(len(self._index), -1)
        self._conflicting = np.zeros(len(self._index), bool)
        self.repeated = 0
        self._resolve_same_bytes()
        if near:
            self._resolve_near_duplicates(near)
        self.splits = self._splits[self._is_new]
        self.other_labels = self._other_labels[self._is_new]
        self.conflicting = self._conflicting[~self._is_new]

    def _resolve_same_bytes(self) -> None:
        """Uses the first of new images with the same bytes, or none if their labels differ."""
        fixed, splits = self._index['fixed'], self._splits
        for group in _groups(np.ascontiguousarray(self._index['sha256']).view('S32').ravel()):
            new = group[self._is_new[group]]
            labels = self._index['label'][group]
            differing = labels[labels != labels[0]]
            if len(differing):
                self._exclude(group, np.where(labels == labels[0], differing[0], labels[0]))
            elif len(new):
                fixed[new[0]] = fixed[new].any()
                splits[new[1:]] = DUPLICATE
                self.repeated += len(new) < len(group)
        splits[fixed & self._is_new & (splits < DUPLICATE)] = TRAIN

    def _resolve_near_duplicates(self, near: int) -> None:
        used = np.flatnonzero(self._splits < DUPLICATE)
        group_of = np.arange(len(used))
        for pairs, distances in near_pairs(self._index['perceptual'][used], near):
            same = used[pairs[distances <= SAME_PICTURE]]
            labels = self._index['label'][same]
            differ = labels[:, 0] != labels[:, 1]
            self._exclude(same[differ].ravel(), labels[differ, ::-1].ravel())
            group_of = _join(group_of, pairs)
        for group in _groups(group_of):
            self._unify_splits(used[group])

    def _exclude(self, images: np.ndarray, other_labels: np.ndarray) -> None:
        """Excludes new images that are also under another label."""
        new = self._is_new[images]
        self._splits[images[new]] = LABEL_CONFLICT
        self._other_labels[images[new]] = other_labels[new]
        self._conflicting[images[~new]] = True

    def _unify_splits(self, group: np.ndarray) -> None:
        """Puts near-duplicates in one split."""
        group = group[self._splits[group] < DUPLICATE]
        new, old = group[self._is_new[group]], group[~self._is_new[group]]
        old_splits = np.unique(self._splits[old])
        if len(old_splits) == 1:
            self._splits[new] = old_splits[0]
        elif len(old) and len(new):
            self._splits[new] = SPLIT_CONFLICT
            self._conflicting[old] = True
        elif self._index['fixed'][new].any():
            self._splits[new] = TRAIN
        elif len(new):
            lowest = min(new, key=lambda image: self._index['sha256'][image].tobytes())
            self._splits[new] = self._splits[lowest]


def near_pairs(hashes: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields pairs of hashes within a Hamming distance, and their distances, in chunks.

    Finds all pairs up to 15 bits apart, and most pairs that are further apart: it compares hashes
    that are equal in one of sixteen bands (Norouzi et al., "Fast Search in Hamming Space with
    Multi-Index Hashing", CVPR 2012). Where more than a few hundred hashes are equal in a band, such
    as the frames of a film, each is compared with its next neighbours in sorted order. A hash of
    zeros belongs to an image without structure and matches nothing. A pair may be repeated.
    """
    places = np.flatnonzero(hashes.any(axis=1))
    keys = np.ascontiguousarray(hashes[places])
    for band in keys.view(_BAND).T:
        order = np.lexsort((keys.view('S32').ravel(), band))
        values = band[order]
        for offset in range(1, min(_MOST_IN_A_BAND, len(order))):
            equal = np.flatnonzero(values[offset:] == values[:-offset])
            if not len(equal):
                break
            pairs = places[np.stack([order[equal], order[equal + offset]], axis=1)]
            differing = hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]
            distances = _BIT_COUNTS[differing].sum(1, dtype=np.uint16)
            yield pairs[distances <= most], distances[distances <= most]


def _join(group_of: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Merges the groups of the two members of each pair."""
    edges = group_of[pairs]
    edges = edges[edges[:, 0] != edges[:, 1]]
    if not len(edges):
        return group_of
    graph = scipy.sparse.coo_array((np.ones(len(edges), bool), edges.T), (len(group_of),) * 2)
    return np.asarray(scipy.sparse.csgraph.connected_components(graph, directed=False)[1])[group_of]


def _groups(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the indices of equal keys, in order, where there are two or more."""
    order = np.argsort(keys, kind='stable')
    ordered = keys[order]
    boundaries = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return (group for group in np.split(order, boundaries) if len(group) > 1)
