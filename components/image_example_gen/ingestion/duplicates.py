"""Which images are copies of one another, and what that means for their splits.

Works on 70 bytes per image, so that a span of millions fits into memory.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from common import features

# What is known of an image. `split` is a place in SPLITS; `fixed`: it came as part of train.
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
# Decisions beyond a split.
DUPLICATE, TWO_LABELS, BETWEEN = 3, 4, 5

# Bits in which the perceptual hash of a picture differs after it was saved again: at most.
SAME_PICTURE = 12
_BAND = '>u2'  # sixteen bands of 16 bits: of two hashes up to 15 apart, at least one band is equal
_MOST_IN_A_BAND = 256  # neighbours that an image is compared with, in one band
_MOST_PAIRS = 2**20  # held in memory
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).sum(1, dtype=np.uint8)


@dataclasses.dataclass(frozen=True)
class Decided:
    """What becomes of the images of a span.

    Attributes:
        places: uint8 [n]: a place in SPLITS, DUPLICATE, TWO_LABELS, or BETWEEN for one that has
            near copies in two splits of other spans.
        other_labels: int64 [n]: under which label one of TWO_LABELS stands too.
        repeated: how many have the same bytes as an image of another span; they are used.
        because: bool [m]: the images of other spans for which some of these are left out.
    """

    places: np.ndarray
    other_labels: np.ndarray
    repeated: int
    because: np.ndarray


def decide(images: np.ndarray, earlier: np.ndarray, near: int) -> Decided:
    """The split of each image, or why it is left out.

    Of images with the same bytes and label the first stays. What stands under two labels, with the
    same bytes or as the same picture saved again, is left out, all of it. Near copies go to the
    split of the one with the lowest digest, so that none is tested on that was trained on; to train
    if one of them came as part of train; to where they are if they are in other spans.

    Args:
        images: IMAGE [n], with the split that each would have alone.
        earlier: IMAGE [m], of spans that are written already: they stay what they are.
        near: bits of 256 that perceptual hashes of near copies differ in at most; 0: only the same
            bytes count.
    """
    both = _Images(np.concatenate([earlier, images]), len(earlier))
    both.settle_same_bytes()
    if near:
        groups = _Groups(len(both.known))
        used = np.flatnonzero(both.places < DUPLICATE)
        for pairs, distances in near_pairs(both.known['perceptual'][used], near):
            pairs = used[pairs]
            both.settle_contradictions(pairs[distances <= SAME_PICTURE])
            groups.join(pairs)
        both.keep_together(groups.members())
    new = both.is_new
    return Decided(both.places[new], both.other_labels[new], both.repeated, both.because[~new])


def near_pairs(hashes: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of hashes that are near each other, and their distances, some at a time.

    Finds all pairs up to 15 bits apart, and most of those that are further: it compares hashes that
    are equal in one of sixteen bands (locality-sensitive hashing; Norouzi et al., "Fast Search in
    Hamming Space with Multi-Index Hashing", CVPR 2012). Where more than a few hundred are equal in
    a band, as in a film, each is compared with those that follow it in order. A hash of zeros says
    nothing about its image, which has no structure, and is near none.

    Args:
        hashes: uint8 [n, 32].
        most: the largest distance.

    Yields:
        int64 [m, 2] and uint16 [m]; a pair may come more than once.
    """
    told = np.flatnonzero(hashes.any(axis=1))
    whole = np.ascontiguousarray(hashes[told]).view('S32').ravel()
    order = np.argsort(whole, kind='stable')
    same = whole[order[1:]] == whole[order[:-1]]
    equal = told[np.stack([order[:-1][same], order[1:][same]], axis=1)]
    yield equal, np.zeros(len(equal), np.uint16)
    first = order[np.r_[True, ~same]] if len(order) else order
    told, whole = told[first], whole[first]
    bands = np.ascontiguousarray(hashes[told]).view(_BAND)
    for band in range(bands.shape[1]):
        order = np.lexsort((whole, bands[:, band]))
        values = bands[order, band]
        for offset in range(1, min(_MOST_IN_A_BAND, len(order))):
            equal = np.flatnonzero(values[offset:] == values[:-offset])
            if not len(equal):
                break
            pairs = told[np.stack([order[equal], order[equal + offset]], axis=1)]
            apart = _ONES[hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]].sum(1, dtype=np.uint16)
            yield pairs[apart <= most], apart[apart <= most]


class _Images:
    """Images of other spans, then new ones, and what is decided of them so far."""

    def __init__(self, known: np.ndarray, others: int) -> None:
        self.known = known
        self.is_new = np.arange(len(known)) >= others
        self.places = known['split'].copy()
        self.other_labels = np.full(len(known), -1)
        self.repeated = 0
        self.because = np.zeros(len(known), bool)
        self._fixed = known['fixed'].copy()

    def settle_same_bytes(self) -> None:
        """Of new images with the same bytes keeps the first, or none if their labels differ."""
        digests = np.ascontiguousarray(self.known['sha256']).view('S32').ravel()
        order = np.argsort(digests, kind='stable')  # other spans first, then as they came
        groups = np.split(order, np.flatnonzero(digests[order][1:] != digests[order][:-1]) + 1)
        for group in filter(lambda each: len(each) > 1, groups):
            new, labels = group[self.is_new[group]], self.known['label'][group]
            if len(np.unique(labels)) > 1:
                self._set_aside(group, labels)
            elif len(new):
                self._fixed[new[0]] = self._fixed[new].any()
                self.places[new[1:]] = DUPLICATE
                self.repeated += bool(len(group) - len(new))
        kept_in_train = self._fixed & self.is_new & (self.places < DUPLICATE)
        self.places[kept_in_train] = TRAIN

    def settle_contradictions(self, pairs: np.ndarray) -> None:
        """Leaves out new images that are the same picture as one of another class."""
        labels = self.known['label'][pairs]
        wrong = labels[:, 0] != labels[:, 1]
        for pair, both in zip(pairs[wrong], labels[wrong], strict=True):
            self._set_aside(pair, both)

    def _set_aside(self, group: np.ndarray, labels: np.ndarray) -> None:
        for image, label in zip(group, labels, strict=True):
            if self.is_new[image]:
                self.places[image] = TWO_LABELS
                self.other_labels[image] = labels[labels != label][0]
            else:
                self.because[image] = True

    def keep_together(self, groups: list[np.ndarray]) -> None:
        """Puts near copies in one split."""
        for members in groups:
            members = members[self.places[members] < DUPLICATE]
            new, old = members[self.is_new[members]], members[~self.is_new[members]]
            there = np.unique(self.places[old])
            if not len(new):
                continue
            if len(there) > 1:
                self.places[new] = BETWEEN
                self.because[old] = True
            elif len(there):
                self.places[new] = there[0]
            elif self._fixed[new].any():
                self.places[new] = TRAIN
            else:
                lowest = min(new, key=lambda each: self.known['sha256'][each].tobytes())
                self.places[new] = self.places[lowest]


class _Groups:
    """Images that pairs connect, directly or through others; holds few pairs at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pairs = [np.empty((0, 2), np.int64)]
        self._held = 0

    def join(self, pairs: np.ndarray) -> None:
        self._pairs.append(pairs)
        self._held += len(pairs)
        if self._held > _MOST_PAIRS + self._count:
            self._forget_what_follows()

    def members(self) -> list[np.ndarray]:
        """The images of each group of two and more."""
        pairs = np.concatenate(self._pairs)
        names, inside = self._names(pairs), np.unique(pairs)
        order = inside[np.argsort(names[inside], kind='stable')]
        return np.split(order, np.flatnonzero(np.diff(names[order])) + 1) if len(order) else []

    def _forget_what_follows(self) -> None:
        """Keeps one pair for each image of a group: the first of the group, and the image."""
        _, first, names = np.unique(
            self._names(np.concatenate(self._pairs)), return_index=True, return_inverse=True
        )
        images = np.flatnonzero(first[names] != np.arange(self._count))
        self._pairs = [np.stack([first[names[images]], images], axis=1)]
        self._held = len(images)

    def _names(self, pairs: np.ndarray) -> np.ndarray:
        graph = scipy.sparse.coo_array((np.ones(len(pairs), bool), pairs.T), (self._count,) * 2)
        return np.asarray(scipy.sparse.csgraph.connected_components(graph, directed=False)[1])
