"""Detects duplicates and near-duplicates, and assigns splits without train-test overlap.

Needs about 500 bytes per image at its peak, so that millions of images fit into memory.
"""

from collections.abc import Iterator

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from common import features

# The index entry of an image. `split` is an index into SPLITS; `fixed`: it is that of the source;
# `group` identifies its group (`data.group_by`), 0: none.
_SHA256, _PERCEPTUAL = ('sha256', 'u1', 32), ('perceptual', 'u1', 32)
_OTHERS = ('label', '<u4'), ('split', 'u1'), ('fixed', '?'), ('group', '<u8')
IMAGE = np.dtype([_SHA256, _PERCEPTUAL, *_OTHERS])
TRAIN, TEST = map(features.SPLITS.index, ('train', 'test'))
# Why an image is not used, next to the indices into SPLITS. SPLIT_CONFLICT: near-duplicates or its
# group are in two splits of other spans, or in a test split that the source has chosen.
DUPLICATE, LABEL_CONFLICT, SPLIT_CONFLICT = 3, 4, 5

SAME_PICTURE = 12  # bits: most by which the perceptual hash of a picture changes when saved again
_BAND = '>u2'  # sixteen bands of 16 bits: of two hashes up to 15 bits apart, one band is equal
_MOST_IN_A_BAND = 256  # neighbours that an image is compared with, in one band
_BIT_COUNTS = np.array([bin(byte).count('1') for byte in range(256)], np.uint8)


class SplitAssignment:
    """The splits of the new images of a span, or the reasons why they are not used.

    - Images with the same bytes and label: the first is used, or the first of the source's test
      images.
    - The same bytes, or the same picture saved again, under two labels: none is used.
    - Near-duplicates, and the images of a group, share one split: theirs in other spans; else train
      if the source put one of them there; else that of the image with the lowest digest. A group
      with a near-duplicate of another group is in one split with it.
    - A test split that the source has chosen keeps its images and gets no others: images that would
      leave it or join it by the rule above are not used.

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
        in_test = self._index['split'] == TEST
        self._is_own_test = self._is_new & self._index['fixed'] & in_test
        self.repeated = 0
        self._resolve_same_bytes()
        self._resolve_clusters(near)
        self.splits = self._splits[self._is_new]
        self.other_labels = self._other_labels[self._is_new]
        self.conflicting = self._conflicting[~self._is_new]

    def _resolve_same_bytes(self) -> None:
        """Uses the first of new images with the same bytes, or none if their labels differ."""
        splits = self._splits
        for group in _groups(self._digests()):
            new = group[self._is_new[group]]
            labels = self._index['label'][group]
            differing = labels[labels != labels[0]]
            if len(differing):
                self._exclude(group, np.where(labels == labels[0], differing[0], labels[0]))
            elif len(new):
                used = next(iter(new[self._is_own_test[new]]), new[0])
                if (fixed := self._index['fixed'][new]).any() and not self._is_own_test[used]:
                    self._index['fixed'][used] = True
                    splits[used] = splits[new[fixed]].min()  # train before eval
                splits[new[new != used]] = DUPLICATE
                self.repeated += len(new) < len(group)

    def _resolve_clusters(self, near: int) -> None:
        """Puts same bytes, near-duplicates and groups in one split."""
        cluster_of = np.arange(len(self._index))
        # Duplicates too: an image that is in two groups joins them.
        valid = np.flatnonzero(self._splits <= DUPLICATE)
        grouped = valid[self._index['group'][valid] > 0]
        if len(grouped):
            cluster_of = _join(cluster_of, grouped[_equal_pairs(self._index['group'][grouped])])
        cluster_of = _join(cluster_of, valid[_equal_pairs(self._digests()[valid])])
        used = np.flatnonzero(self._splits < DUPLICATE)
        for pairs, distances in near_pairs(self._index['perceptual'][used], near) if near else ():
            same = used[pairs[distances <= SAME_PICTURE]]
            labels = self._index['label'][same]
            differ = labels[:, 0] != labels[:, 1]
            self._exclude(same[differ].ravel(), labels[differ, ::-1].ravel())
            cluster_of = _join(cluster_of, used[pairs])
        for cluster in _groups(cluster_of):
            self._unify_splits(cluster)

    def _digests(self) -> np.ndarray:
        return np.ascontiguousarray(self._index['sha256']).view('S32').ravel()

    def _exclude(self, images: np.ndarray, other_labels: np.ndarray) -> None:
        """Excludes new images that are also under another label."""
        new = self._is_new[images]
        self._splits[images[new]] = LABEL_CONFLICT
        self._other_labels[images[new]] = other_labels[new]
        self._conflicting[images[~new]] = True

    def _unify_splits(self, cluster: np.ndarray) -> None:
        """Puts the used images of a cluster in one split."""
        cluster = cluster[self._splits[cluster] < DUPLICATE]
        new, old = cluster[self._is_new[cluster]], cluster[~self._is_new[cluster]]
        old_splits = np.unique(self._splits[old])
        if not len(new):
            return
        if len(old_splits) > 1:
            self._splits[new] = SPLIT_CONFLICT
            self._conflicting[old] = True
            return
        if len(old):
            split = old_splits[0]
        elif self._is_own_test[new].any():
            split = TEST
        elif (self._index['fixed'][new] & (self._splits[new] == TRAIN)).any():
            split = TRAIN
        else:
            split = self._splits[min(new, key=lambda each: self._index['sha256'][each].tobytes())]
        self._splits[new] = split
        if self._is_own_test.any():
            dropped = new[self._is_own_test[new] != (split == TEST)]
            self._splits[dropped] = SPLIT_CONFLICT
            self._conflicting[old] |= len(dropped) > 0


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
            distances = _distances(hashes[pairs[:, 0]], hashes[pairs[:, 1]])
            yield pairs[distances <= most], distances[distances <= most]


def has_near(hashes: np.ndarray, known: np.ndarray, most: int) -> np.ndarray:
    """Whether each hash is within a Hamming distance of a known one: bool [n].

    Finds what `near_pairs` would find, without the pairs among the hashes or among the known ones:
    in each band, a hash is compared with the nearest known ones in sorted order, a few hundred on
    either side.
    """
    found = np.zeros(len(hashes), bool)
    known = known[known.any(axis=1)]
    for band in range(0, hashes.shape[1], 2):
        # Sorted by the two bytes of the band, then by the whole hash.
        keys, wanted = (
            np.concatenate([each[:, band : band + 2], each], axis=1).view('S34').ravel()
            for each in (known, hashes)
        )
        order = np.argsort(keys)
        bands, wanted_bands = keys[order].astype('S2'), wanted.astype('S2')
        start = np.searchsorted(bands, wanted_bands, 'left')
        end = np.searchsorted(bands, wanted_bands, 'right')
        position = np.searchsorted(keys[order], wanted)
        left = np.flatnonzero((start < end) & ~found & hashes.any(axis=1))
        for offset in range(_MOST_IN_A_BAND):
            above, below = position[left] + offset, position[left] - 1 - offset
            for place in (above, below):
                inside = (start[left] <= place) & (place < end[left])
                rows = left[inside]
                near = _distances(hashes[rows], known[order[place[inside]]]) <= most
                found[rows[near]] = True
            more = (above < end[left]) | (below >= start[left])
            left = left[more & ~found[left]]
            if not len(left):
                break
    return found


def _distances(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    return _BIT_COUNTS[hashes ^ others].sum(1, dtype=np.uint16)


def _equal_pairs(keys: np.ndarray) -> np.ndarray:
    """Pairs of indices [m, 2] that connect equal keys."""
    order = np.argsort(keys, kind='stable')
    equal = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    return np.stack([order[equal], order[equal + 1]], axis=1)


def _join(cluster_of: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Merges the clusters of the two members of each pair."""
    edges = cluster_of[pairs]
    edges = edges[edges[:, 0] != edges[:, 1]]
    if not len(edges):
        return cluster_of
    graph = scipy.sparse.coo_array((np.ones(len(edges), bool), edges.T), (len(cluster_of),) * 2)
    merged = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    return np.asarray(merged)[cluster_of]


def _groups(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the indices of equal keys, in order, where there are two or more."""
    order = np.argsort(keys, kind='stable')
    ordered = keys[order]
    boundaries = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return (group for group in np.split(order, boundaries) if len(group) > 1)
