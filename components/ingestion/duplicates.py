"""Which images are copies of one another, and what that means for their splits.

Works on 70 bytes per image, so that a span of millions fits into memory.
"""

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

from trainer import features

# What is known of an image. `split` is a place in SPLITS; `fixed`: it came as part of train.
IMAGE = np.dtype(
    [('sha256', 'u1', 32), ('perceptual', 'u1', 32), ('label', '<u4'), ('split', 'u1'),
     ('fixed', '?')]
)  # fmt: skip
TRAIN = features.SPLITS.index('train')
# Decisions beyond a split.
DUPLICATE, TWO_LABELS, BETWEEN = 3, 4, 5

# Hamming distances of perceptual hashes, of 256 bits. Measured on photographs and drawings: a
# picture saved again at quality 30 is at most 12 from itself, brightened by a fifth 22, cropped by
# 2 % 36; two that have nothing to do with each other are at least 72 apart.
SAME_PICTURE, NEAR = 12, 40
_BAND = '>u2'  # sixteen bands of 16 bits: of two hashes up to 15 apart, at least one band is equal
_MOST_IN_A_BAND = 4096  # neighbours that an image is compared with, in one band
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).sum(1, dtype=np.uint8)


def decide(images: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """The split of each image, or why it is left out.

    Of images with the same bytes and label the first stays. What stands under two labels, with the
    same bytes or as the same picture saved again, is left out, all of it. Near copies go to the
    split of the one with the lowest digest, so that none is tested on that was trained on; to train
    if one of them came as part of train; to where they are if they are in earlier spans.

    Args:
        images: IMAGE [n], with the split that each would have alone.
        earlier: IMAGE [m], of spans that are written already: they stay what they are.

    Returns:
        uint8 [n]: a place in SPLITS, DUPLICATE, TWO_LABELS, or BETWEEN for one that has near copies
        in two splits of earlier spans.
    """
    both = np.concatenate([earlier, images])
    is_new = np.arange(len(both)) >= len(earlier)
    decisions = both['split'].copy()
    fixed = both['fixed'].copy()
    _settle_same_bytes(both, is_new, decisions, fixed)
    used = np.flatnonzero(decisions < DUPLICATE)
    pairs, distances = near_pairs(both['perceptual'][used])
    pairs = used[pairs]
    first, second = pairs.T
    contradict = (distances <= SAME_PICTURE) & (both['label'][first] != both['label'][second])
    wrong = np.unique(pairs[contradict])
    decisions[wrong[is_new[wrong]]] = TWO_LABELS
    keep = (decisions[pairs] < DUPLICATE).all(axis=1)
    _keep_together(_components(len(both), pairs[keep]), both, is_new, decisions, fixed)
    return decisions[is_new]


def near_pairs(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of hashes that are near each other, and their distances.

    Finds all pairs up to 15 bits apart, and most of those up to NEAR: it compares hashes that are
    equal in one of sixteen bands (locality-sensitive hashing; Norouzi et al., "Fast Search in
    Hamming Space with Multi-Index Hashing", CVPR 2012). A hash of zeros says nothing about its
    image, which has no structure, and is near none.

    Args:
        hashes: uint8 [n, 32].

    Returns:
        int64 [m, 2] and uint16 [m]; a pair may come more than once.
    """
    told = np.flatnonzero(hashes.any(axis=1))
    bands = np.ascontiguousarray(hashes[told]).view(_BAND)
    whole = np.ascontiguousarray(hashes[told]).view('S32').ravel()
    pairs, distances = [np.empty((0, 2), np.int64)], [np.empty(0, np.uint16)]
    for band in range(bands.shape[1]):
        order = np.lexsort((whole, bands[:, band]))
        values = bands[order, band]
        for offset in range(1, min(_MOST_IN_A_BAND, len(order))):
            equal = np.flatnonzero(values[offset:] == values[:-offset])
            if not len(equal):
                break
            found = told[np.stack([order[equal], order[equal + offset]], axis=1)]
            apart = _ONES[hashes[found[:, 0]] ^ hashes[found[:, 1]]].sum(1, dtype=np.uint16)
            near = apart <= NEAR
            pairs.append(found[near])
            distances.append(apart[near])
    return np.concatenate(pairs), np.concatenate(distances)


def _settle_same_bytes(
    images: np.ndarray, is_new: np.ndarray, decisions: np.ndarray, fixed: np.ndarray
) -> None:
    """Of new images with the same bytes keeps the first, or none if their labels differ."""
    digests = np.ascontiguousarray(images['sha256']).view('S32').ravel()
    order = np.argsort(digests, kind='stable')  # earlier spans first, then as they came
    groups = np.split(order, np.flatnonzero(digests[order][1:] != digests[order][:-1]) + 1)
    for group in filter(lambda each: len(each) > 1, groups):
        new = group[is_new[group]]
        if len(np.unique(images['label'][group])) > 1:
            decisions[new] = TWO_LABELS
            continue
        if len(new):
            fixed[new[0]] = fixed[new].any()
            decisions[new[1:]] = DUPLICATE


def _components(count: int, pairs: np.ndarray) -> list[np.ndarray]:
    """The images that pairs connect, directly or through others."""
    graph = scipy.sparse.coo_array((np.ones(len(pairs), bool), pairs.T), (count, count))
    _, names = scipy.sparse.csgraph.connected_components(graph, directed=False)
    members = np.unique(pairs)
    order = members[np.argsort(names[members], kind='stable')]
    return np.split(order, np.flatnonzero(np.diff(names[order])) + 1) if len(order) else []


def _keep_together(
    components: list[np.ndarray], images: np.ndarray, is_new: np.ndarray, decisions: np.ndarray,
    fixed: np.ndarray,
) -> None:  # fmt: skip
    decisions[fixed & is_new & (decisions < DUPLICATE)] = TRAIN
    for members in components:
        new, old = members[is_new[members]], members[~is_new[members]]
        places = np.unique(decisions[old])
        if len(places) > 1:
            decisions[new] = BETWEEN
        elif len(places):
            decisions[new] = places[0]
        elif fixed[new].any():
            decisions[new] = TRAIN
        else:
            lowest = min(new, key=lambda each: images['sha256'][each].tobytes())
            decisions[new] = decisions[lowest]
