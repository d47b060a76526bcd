"""Finds duplicates and near-duplicates, by the entries of images in an index."""

from collections.abc import Iterator

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph

# The index entry of an image. `split` is an index into SPLITS, `part` into `splits.PARTS`; `group`
# identifies its group (`data.group_by`), 0: none.
_SHA256, _PERCEPTUAL = ('sha256', 'u1', 32), ('perceptual', 'u1', 32)
_OTHERS = ('label', '<u4'), ('split', 'u1'), ('part', 'u1'), ('group', '<u8')
IMAGE = np.dtype([_SHA256, _PERCEPTUAL, *_OTHERS])
SAME_PICTURE = 12  # bits: most by which the perceptual hash of a picture changes when saved again
_BAND = '>u2'  # sixteen bands of 16 bits: of two hashes up to 15 bits apart, one band is equal
_MOST_IN_A_BAND = 256  # neighbours that an image is compared with, in one band
_BIT_COUNTS = np.array([bin(byte).count('1') for byte in range(256)], np.uint8)


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
    """Whether each hash is within a Hamming distance of a known one, as `near_pairs`: bool [n]."""
    (wanted, place), (others, _) = (
        np.unique(np.ascontiguousarray(each).view('S32').ravel(), return_inverse=True)
        for each in (hashes, known)
    )
    found = np.zeros(len(wanted), bool)
    both = np.concatenate([wanted, others]).view('u1').reshape(-1, 32)
    for pairs, _ in near_pairs(both, most):
        between = pairs[(pairs < len(wanted)).sum(axis=1) == 1]
        found[between.min(axis=1)] = True
    return found[place]


def digests_of(index: np.ndarray) -> np.ndarray:
    """SHA-256 digests: bytes [n]."""
    return np.ascontiguousarray(index['sha256']).view('S32').ravel()


def _distances(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    return _BIT_COUNTS[hashes ^ others].sum(1, dtype=np.uint16)


def equal_pairs(keys: np.ndarray) -> np.ndarray:
    """Pairs of indices [m, 2] that connect equal keys."""
    order = np.argsort(keys, kind='stable')
    equal = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    return np.stack([order[equal], order[equal + 1]], axis=1)


def join(cluster_of: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Merges the clusters of the two members of each pair."""
    edges = cluster_of[pairs]
    edges = edges[edges[:, 0] != edges[:, 1]]
    if not len(edges):
        return cluster_of
    graph = scipy.sparse.coo_array((np.ones(len(edges), bool), edges.T), (len(cluster_of),) * 2)
    merged = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    return np.asarray(merged)[cluster_of]


def groups(keys: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the indices of equal keys, in order, where there are two or more."""
    order = np.argsort(keys, kind='stable')
    ordered = keys[order]
    boundaries = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    return (group for group in np.split(order, boundaries) if len(group) > 1)
