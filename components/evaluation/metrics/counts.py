"""Counts of predictions: a few arrays from which every metric is derived.

Their size is bounded whatever the number of images, and the counts of two parts of a split add up
to those of the whole, so Beam may count anywhere.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping

import numpy as np

# Scores are binned by their logit: most scores of a good model are close to 0 or 1, and those of an
# untrained one are close to each other.
_FARTHEST, _PLACES = 17.0, 2**18
BUCKETS = 10  # of confidence, of equal width
_CLOSEST = 1e-7  # distance to 0 and 1 to which the exported model clips probabilities
LOG_LOSS, BRIER = 0, 1
NEGATIVE, POSITIVE = 0, 1
IMAGES, CONFIDENCE, RIGHT = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Counts:
    """Counts of the predictions for some images.

    Attributes:
        images: number of images.
        broken: number of images whose prediction is NaN; no other count includes them.
        confusion: images by label and predicted class.
        losses: sums of the losses per image, float [LOG_LOSS or BRIER].
        places: bins of the scores, ascending, int [n].
        scores: binary decisions by bin, int [NEGATIVE or POSITIVE, n]: for two classes "is it the
            second?", for more "is it class k?" for each class.
        confidence: images, sum of confidence, and correct predictions, float [BUCKETS, 3].
    """

    images: int
    broken: int
    confusion: Mapping[tuple[int, int], int]
    losses: np.ndarray
    places: np.ndarray
    scores: np.ndarray
    confidence: np.ndarray

    def __add__(self, other: 'Counts') -> 'Counts':
        both = np.concatenate([self.places, other.places])
        return Counts(
            self.images + other.images,
            self.broken + other.broken,
            Counter(self.confusion) + Counter(other.confusion),
            self.losses + other.losses,
            *_by_place(both, np.hstack([self.scores, other.scores])),
            self.confidence + other.confidence,
        )


def count(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> Counts:
    """Counts the predictions for some images.

    Args:
        labels: int [images].
        probabilities: float32, of the second of two classes, [images, 1], or of each class,
            [images, classes].
        threshold: probability from which the second of two classes is predicted.
    """
    whole = np.isfinite(probabilities).all(axis=1)
    broken = int(np.sum(~whole))
    labels, given = labels[whole].astype(int), probabilities[whole].astype(float)
    two = given.shape[1] == 1
    yes = given[:, 0] >= np.float32(threshold)  # in the precision of the predictions
    predicted = yes.astype(int) if two else given.argmax(axis=1)
    each = np.hstack([1 - given, given]) if two else given  # one column per class
    right = np.eye(each.shape[1])[labels]
    confidence = given[:, 0] if two else given.max(axis=1)
    hits = labels == 1 if two else predicted == labels
    return Counts(
        len(whole),
        broken,
        Counter(zip(labels.tolist(), predicted.tolist(), strict=True)),
        _losses(each, right, two),
        *_scores(given, right[:, 1:] if two else right),
        _confidence(confidence, hits),
    )


def no_counts(classes: int) -> Counts:
    """Counts of no images."""
    nothing = np.empty((0, 1 if classes == 2 else classes))
    return count(np.empty(0, int), nothing, threshold=0.5)


def _losses(each: np.ndarray, right: np.ndarray, two: bool) -> np.ndarray:
    """Of two classes the squared error counts once, as in scikit-learn."""
    log = -np.log(np.clip((each * right).sum(axis=1), _CLOSEST, 1))
    brier = ((each - right) ** 2).sum(axis=1) / (2 if two else 1)
    return np.array([log.sum(), brier.sum()])


def _scores(given: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    clipped = np.clip(given, _CLOSEST / 10, 1 - _CLOSEST / 10)
    logit = np.log(clipped) - np.log1p(-clipped)
    places = ((logit / _FARTHEST + 1) / 2 * _PLACES).astype(int).clip(0, _PLACES - 1)
    yes = right.ravel().astype(int)
    return _by_place(places.ravel(), np.stack([1 - yes, yes]))


def _by_place(places: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merges equal bins: the distinct bins and the sum of the counts in each."""
    found, index = np.unique(places, return_inverse=True)
    sums = [np.bincount(index, each, len(found)).astype(int) for each in scores]
    return found, np.stack(sums)


def _confidence(confidence: np.ndarray, hits: np.ndarray) -> np.ndarray:
    bucket = (confidence * BUCKETS).astype(int).clip(0, BUCKETS - 1)
    columns = (np.ones_like(confidence), confidence, hits.astype(float))
    return np.stack([np.bincount(bucket, each, BUCKETS) for each in columns], axis=1)
