"""Counts of predictions: a few arrays from which every metric is derived.

Their size does not grow with the number of images. Beam counts the parts of a split separately and
adds the counts.
"""

import dataclasses

import numpy as np
from scipy.sparse import csr_array

from components.evaluation.results import LARGEST_LOSS, PairedCounts, Pairs

# Scores are binned by their logit: most scores of a good model are close to 0 or 1, and those of an
# untrained one are close to each other.
_MAX_LOGIT, _BINS = 17.0, 2**18
_CLOSEST = 1e-7  # distance to 0 and 1 to which the exported model clips probabilities
BUCKETS = 10  # of confidence, of equal width


@dataclasses.dataclass(frozen=True)
class Counts:
    """Counts of the predictions for some images."""

    images: int
    nan: int  # images whose prediction is NaN; no other count includes them
    confusion: csr_array  # images by label and predicted class [classes, classes]
    log_loss: float  # sum over the images
    brier: float  # sum over the images
    # Binary decisions by truth and bin of the score [2, bins]: for two classes "is it the second?",
    # for more "is it class k?" for each class.
    scores: csr_array
    calibration: np.ndarray  # images, sum of confidence, correct predictions by bucket [3, BUCKETS]

    def __add__(self, other: 'Counts') -> 'Counts':
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Counts(*(mine + theirs for mine, theirs in pairs))

    def decisions_by_score(self) -> np.ndarray:
        """Binary decisions by falling score, without empty bins: int [2, n], negatives first."""
        bins = np.unique(self.scores.indices)[::-1]
        return np.asarray(self.scores[:, bins].toarray())


def count(labels: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray) -> Counts:
    """Counts the predictions for some images.

    `labels` and `predicted` are int [images]; a prediction of -1 is NaN. `probabilities` are
    float32 [images, classes], or [images, 1] of the second of two classes.
    """
    finite = predicted >= 0
    labels, predicted = labels[finite].astype(int), predicted[finite].astype(int)
    given = probabilities[finite].astype(float)
    binary = given.shape[1] == 1
    by_class = np.hstack([1 - given, given]) if binary else given
    classes = by_class.shape[1]
    truth = np.eye(classes)[labels]
    if binary:
        confidence, correct = given[:, 0], labels == 1
    else:
        confidence, correct = given.max(axis=1), given.argmax(axis=1) == labels
    squares = ((by_class - truth) ** 2).sum()
    return Counts(
        images=len(finite),
        nan=int(np.sum(~finite)),
        confusion=_histogram(labels, predicted, (classes, classes)),
        log_loss=float(log_losses(labels, given).sum()),
        brier=float(squares / 2 if binary else squares),  # as in scikit-learn
        scores=_binned(given, truth[:, 1:] if binary else truth),
        calibration=_calibration(confidence, correct),
    )


def count_pairs(
    labels: np.ndarray,
    candidate: tuple[np.ndarray, np.ndarray],
    other: tuple[np.ndarray, np.ndarray],
) -> Pairs:
    """Compares two models on the same images; labels and probabilities of each as in `count`."""
    right, other_right = candidate[0] == labels, other[0] == labels
    finite = (candidate[0] >= 0) & (other[0] >= 0)
    losses, other_losses = (
        np.minimum(log_losses(labels[finite], given[finite]), LARGEST_LOSS)
        for _, given in (candidate, other)
    )
    return Pairs(
        counts=PairedCounts(
            both_right=int(np.sum(right & other_right)),
            only_candidate_right=int(np.sum(right & ~other_right)),
            only_other_right=int(np.sum(~right & other_right)),
            both_wrong=int(np.sum(~right & ~other_right)),
        ),
        log_loss=float(np.sum(losses - other_losses)),
        log_loss_squares=float(np.sum((losses - other_losses) ** 2)),
        finite=int(finite.sum()),
    )


def no_counts(classes: int) -> Counts:
    """Counts of no images."""
    no_labels = np.empty(0, int)
    return count(no_labels, no_labels, np.empty((0, 1 if classes == 2 else classes)))


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Cross-entropy of each image, float64 [images]; `probabilities` as in `count`."""
    given = probabilities.astype(float)
    if given.shape[1] == 1:
        given = np.hstack([1 - given, given])
    return -np.log(np.clip(given[np.arange(len(labels)), labels], _CLOSEST, 1))


def _histogram(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> csr_array:
    return csr_array((np.ones(len(rows), int), (rows, columns)), shape)


def _binned(given: np.ndarray, truth: np.ndarray) -> csr_array:
    clipped = np.clip(given, _CLOSEST / 10, 1 - _CLOSEST / 10).ravel()
    logit = np.log(clipped) - np.log1p(-clipped)
    bins = ((logit / _MAX_LOGIT + 1) / 2 * _BINS).astype(int).clip(0, _BINS - 1)
    return _histogram(truth.ravel().astype(int), bins, (2, _BINS))


def _calibration(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    bucket = (confidence * BUCKETS).astype(int).clip(0, BUCKETS - 1)
    columns = (np.ones_like(confidence), confidence, correct.astype(float))
    return np.stack([np.bincount(bucket, each, BUCKETS) for each in columns])
