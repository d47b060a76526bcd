"""What is counted of a model's answers: a few arrays from which every metric is derived.

Their size has a bound, however many images there are, and counts of two parts of a split add up to
those of both, so that Beam may count anywhere.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping

import numpy as np

# Scores are told apart by their logit: most of a good model's are close to 0 or 1, and those of one
# that has hardly learned are close to one another.
_FARTHEST, _PLACES = 17.0, 2**18
BUCKETS = 10  # of confidence, equally wide
_CLOSEST = 1e-7  # to 0 and 1, as the exported model gives probabilities
LOG_LOSS, BRIER = 0, 1
NEGATIVE, POSITIVE = 0, 1
IMAGES, CONFIDENCE, RIGHT = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Counts:
    """Of the answers to some images.

    Attributes:
        images: how many.
        broken: of them, how many got an answer that is no number; nothing else counts these.
        confusion: images by label and answer.
        losses: sum and sum of squares of the losses of single images, [LOG_LOSS or BRIER, 2].
        places: of the scores that were given, rising, int [n].
        scores: decisions by whether they should say yes and by score, [NEGATIVE or POSITIVE, n]:
            of two classes "is it the second?", of more "is it class k?" for each.
        confidence: images, sum of confidence, and how often it was right, [BUCKETS, 3].
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
    """Counts the answers to some images.

    Args:
        labels: int [images].
        probabilities: float32, of the second of two classes, [images, 1], or of each of more,
            [images, classes].
        threshold: probability from which on the second of two classes is said.
    """
    whole = np.isfinite(probabilities).all(axis=1)
    broken = int(np.sum(~whole))
    labels, given = labels[whole].astype(int), probabilities[whole].astype(float)
    two = given.shape[1] == 1
    yes = given[:, 0] >= np.float32(threshold)  # as precise as the answers
    answers = yes.astype(int) if two else given.argmax(axis=1)
    each = np.hstack([1 - given, given]) if two else given  # of every class
    right = np.eye(each.shape[1])[labels]
    confidence = given[:, 0] if two else given.max(axis=1)
    hits = labels == 1 if two else answers == labels
    return Counts(
        len(whole),
        broken,
        Counter(zip(labels.tolist(), answers.tolist(), strict=True)),
        _losses(each, right, two),
        *_scores(given, right[:, 1:] if two else right),
        _confidence(confidence, hits),
    )


def no_counts(classes: int) -> Counts:
    """Of no images."""
    nothing = np.empty((0, 1 if classes == 2 else classes))
    return count(np.empty(0, int), nothing, threshold=0.5)


def _losses(each: np.ndarray, right: np.ndarray, two: bool) -> np.ndarray:
    """The squared error of both of two classes is the same, and counts once, as scikit-learn's."""
    log = -np.log(np.clip((each * right).sum(axis=1), _CLOSEST, 1))
    brier = ((each - right) ** 2).sum(axis=1) / (2 if two else 1)
    return np.array([[loss.sum(), (loss**2).sum()] for loss in (log, brier)])


def _scores(given: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    clipped = np.clip(given, _CLOSEST / 10, 1 - _CLOSEST / 10)
    logit = np.log(clipped) - np.log1p(-clipped)
    places = ((logit / _FARTHEST + 1) / 2 * _PLACES).astype(int).clip(0, _PLACES - 1)
    yes = right.ravel().astype(int)
    return _by_place(places.ravel(), np.stack([1 - yes, yes]))


def _by_place(places: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The places, each once, and the sums of what was counted there."""
    found, index = np.unique(places, return_inverse=True)
    sums = [np.bincount(index, each, len(found)).astype(int) for each in scores]
    return found, np.stack(sums)


def _confidence(confidence: np.ndarray, hits: np.ndarray) -> np.ndarray:
    bucket = (confidence * BUCKETS).astype(int).clip(0, BUCKETS - 1)
    columns = (np.ones_like(confidence), confidence, hits.astype(float))
    return np.stack([np.bincount(bucket, each, BUCKETS) for each in columns], axis=1)
