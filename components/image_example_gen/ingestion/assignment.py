"""Assigns the images of a span to splits, without train-test overlap.

Needs about 500 bytes per image at its peak, so that millions of images fit into memory.
"""

import numpy as np

from common.features import FIXED
from components.image_example_gen.ingestion.duplicates import (
    SAME_PICTURE,
    digests_of,
    equal_pairs,
    groups,
    join,
    near_pairs,
)
from components.image_example_gen.ingestion.splits import (
    ALLOWED,
    TEST,
    stratify,
)

# Next to the indices into SPLITS: the split depends on the class, or why an image is not used.
# SPLIT_CONFLICT: near-duplicates or its group are in two splits that are given, or in a test split
# that the source has chosen.
_OPEN, DUPLICATE, LABEL_CONFLICT, SPLIT_CONFLICT = 3, 4, 5, 6


class SplitAssignment:
    """The splits of the new images of a span, or the reasons why they are not used.

    - Images with the same bytes and label: the first is used, or the first of the source's test
      images.
    - The same bytes, or the same picture saved again, under two labels: none is used.
    - An image of the earlier ingestion keeps its split, unless the source has chosen another one.
    - Near-duplicates, and the images of a group, share one split: the given one of a member in
      other spans or in the earlier ingestion. If these are in two splits, the others are not used.
      A group with a near-duplicate of another group is in one split with it.
    - A test split that the source has chosen keeps its images and gets no others: images that would
      leave it or join it by the rule above are not used.
    - The others are stratified (`splits.stratify`). A unit counts for the class of most of its
      images. Its position depends on the digest, or the group, of one of them.

    Args:
        images: IMAGE [n], new ones, whose `split` is not known.
        spans: IMAGE [m], of spans that are already written; their splits do not change.
        earlier: IMAGE [k], of the earlier ingestion.
        near: largest distance between the perceptual hashes of near-duplicates, in bits of 256;
            0 compares bytes only.
        limits: float [3, 2], from `splits.boundaries`.

    Attributes:
        splits: uint8 [n]: an index into SPLITS, or why the image is not used.
        other_labels: int64 [n]: the other label of each LABEL_CONFLICT.
        repeated: number of used images with the same bytes as an image of another span.
    """

    def __init__(
        self,
        images: np.ndarray,
        spans: np.ndarray,
        earlier: np.ndarray,
        near: int,
        limits: np.ndarray,
    ) -> None:
        present = digests_of(np.concatenate([spans, images]))
        removed = earlier[~np.isin(digests_of(earlier), present)]  # only their splits count
        self._index = np.concatenate([spans, removed, images])
        self._is_span, self._is_new = np.zeros((2, len(self._index)), bool)
        self._is_span[: len(spans)] = True
        self._is_new[len(spans) + len(removed) :] = True
        self._splits = self._index['split'].copy()
        self._splits[self._is_new] = _given_splits(images, earlier)
        self._is_own_test = self._is_new & (self._index['part'] == FIXED + TEST)
        self._other_labels = np.full(len(self._index), -1)
        self.repeated = 0
        self._resolve_same_bytes()
        clusters = self._clusters(near)
        for cluster in groups(clusters):
            self._unify_splits(cluster)
        self._stratify(clusters, limits)
        self.splits = self._splits[self._is_new]
        self.other_labels = self._other_labels[self._is_new]

    def _resolve_same_bytes(self) -> None:
        """Uses the first of new images with the same bytes, or none if their labels differ."""
        for group in groups(digests_of(self._index)):
            new = group[self._is_new[group]]
            labels, parts = self._index['label'][group], self._index['part'][new]
            differing = labels[labels != labels[0]]
            if len(differing):
                self._exclude(group, np.where(labels == labels[0], differing[0], labels[0]))
            elif len(new):
                used = next(iter(new[self._is_own_test[new]]), new[0])
                if (fixed := parts[parts >= FIXED]).size and not self._is_own_test[used]:
                    self._index['part'][used] = fixed.min()  # train before eval
                    self._splits[used] = fixed.min() - FIXED
                self._splits[new[new != used]] = DUPLICATE
                self.repeated += bool(self._is_span[group].any())

    def _clusters(self, near: int) -> np.ndarray:
        """Numbers of clusters, int [all]: the same bytes, near-duplicates and groups."""
        clusters = np.arange(len(self._index))
        # Duplicates too: an image that is in two groups joins them.
        valid = np.flatnonzero(self._splits <= DUPLICATE)
        grouped = valid[self._index['group'][valid] > 0]
        clusters = join(clusters, grouped[equal_pairs(self._index['group'][grouped])])
        clusters = join(clusters, valid[equal_pairs(digests_of(self._index)[valid])])
        used = np.flatnonzero(self._splits <= _OPEN)
        for pairs, distances in near_pairs(self._index['perceptual'][used], near) if near else ():
            same = used[pairs[distances <= SAME_PICTURE]]
            labels = self._index['label'][same]
            differ = labels[:, 0] != labels[:, 1]
            differ &= (self._is_span | self._is_new)[same].all(axis=1)
            self._exclude(same[differ].ravel(), labels[differ, ::-1].ravel())
            clusters = join(clusters, used[pairs])
        return clusters

    def _exclude(self, images: np.ndarray, other_labels: np.ndarray) -> None:
        """Excludes new images that are also under another label."""
        new = self._is_new[images]
        self._splits[images[new]] = LABEL_CONFLICT
        self._other_labels[images[new]] = other_labels[new]

    def _unify_splits(self, cluster: np.ndarray) -> None:
        """Gives the used images of a cluster the split of a member, if that of one is given."""
        cluster = cluster[self._splits[cluster] <= _OPEN]
        new = cluster[self._is_new[cluster]]
        if not len(new):
            return
        parts, splits = self._index['part'][new], self._splits[cluster]
        is_fixed = parts >= FIXED
        given = set(splits[self._is_span[cluster]])
        if not is_fixed.any():
            removed = splits[~self._is_span[cluster] & ~self._is_new[cluster]]
            given |= {each for each in removed if ALLOWED[parts, each].all()}
            given |= {*self._splits[new]} - {_OPEN}
        if len(given) > 1:
            self._splits[new[is_fixed | (self._splits[new] == _OPEN)]] = SPLIT_CONFLICT
            return
        if is_fixed.any() and not given:
            given = {TEST if self._is_own_test[new].any() else parts[is_fixed].min() - FIXED}
        if given:
            (split,) = given
            self._splits[new] = split
            if self._is_own_test.any():
                conflicting = self._is_own_test[new] != (split == TEST)
                self._splits[new[conflicting]] = SPLIT_CONFLICT

    def _stratify(self, clusters: np.ndarray, limits: np.ndarray) -> None:
        """Assigns the clusters whose split is not given."""
        images = np.flatnonzero(self._splits == _OPEN)
        labels = self._index['label'].astype(np.int64)
        classes = int(labels.max(initial=0)) + 1
        given = (self._is_span | self._is_new) & (self._splits < _OPEN)
        taken = np.bincount(3 * labels[given] + self._splits[given], minlength=3 * classes)
        _, units, sizes = np.unique(clusters[images], return_inverse=True, return_counts=True)
        # Of each unit, one image, whose choice does not depend on positions, and the class of most.
        digests = np.ascontiguousarray(self._index['sha256'][images]).view('>u8')
        first = np.lexsort((digests[:, 1], units))[np.cumsum(sizes) - sizes]
        chosen = self._index[images[first]]
        keys = np.where(chosen['group'] > 0, chosen['group'], digests[first, 0])
        pairs, counts = np.unique(units * classes + labels[images], return_counts=True)
        most = np.zeros(len(sizes), np.int64)
        np.maximum.at(most, pairs // classes, (counts + 1) * classes - 1 - pairs % classes)
        splits = stratify(
            classes - 1 - most % classes,
            (keys >> 11) / 2**53,
            sizes,
            chosen['part'],
            taken.reshape(classes, 3),
            limits,
        )
        self._splits[images] = splits[units]


def _given_splits(images: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Splits that the source has chosen or the earlier ingestion knows, else _OPEN: uint8 [n]."""
    parts = images['part']
    splits = np.where(parts >= FIXED, parts - FIXED, _OPEN).astype(np.uint8)
    if len(earlier):
        known, first = np.unique(digests_of(earlier), return_index=True)
        digests = digests_of(images)
        places = np.minimum(np.searchsorted(known, digests), len(known) - 1)
        kept = earlier['split'][first[places]]
        is_kept = (known[places] == digests) & (parts < FIXED) & ALLOWED[parts, kept]
        splits[is_kept] = kept[is_kept]
    return splits
