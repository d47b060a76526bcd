"""Confusion matrix, ROC, precision-recall and calibration curves from counts."""

import numpy as np

from components.evaluation.metrics.counts import CONFIDENCE, IMAGES, RIGHT, Counts
from components.evaluation.results import Bucket, Curves, Points

_POINTS = 200  # maximum per curve


def curves(counts: Counts) -> Curves:
    """Computes all curves."""
    return Curves(
        confusion=tuple((*place, images) for place, images in sorted(counts.confusion.items())),
        roc=_roc(counts),
        precision_recall=_precision_recall(counts),
        calibration=_calibration(counts),
    )


def _roc(counts: Counts) -> Points:
    """Points (false positive rate, true positive rate), from (0, 0) to (1, 1)."""
    negatives, positives = _cumulative(counts)
    if not (negatives[-1] and positives[-1]):
        return ()
    return ((0.0, 0.0), *_downsampled(negatives / negatives[-1], positives / positives[-1]))


def _precision_recall(counts: Counts) -> Points:
    """Points (recall, precision), sorted by recall."""
    negatives, positives = _cumulative(counts)
    if not positives[-1]:
        return ()
    return _downsampled(positives / positives[-1], positives / (negatives + positives))


def _calibration(counts: Counts) -> tuple[Bucket, ...]:
    """Non-empty bins, sorted by confidence."""
    return tuple(
        Bucket(
            confidence=each[CONFIDENCE] / each[IMAGES],
            share=each[RIGHT] / each[IMAGES],
            images=int(each[IMAGES]),
        )
        for each in counts.confidence
        if each[IMAGES]
    )


def _cumulative(counts: Counts) -> np.ndarray:
    """Cumulative counts of negatives and positives by falling score: [2, n]."""
    scores = counts.scores if counts.scores.size else np.zeros((2, 1))
    return np.asarray(np.cumsum(scores[:, ::-1], axis=1))


def _downsampled(x: np.ndarray, y: np.ndarray) -> Points:
    """At most `_POINTS` points of a curve, including the first and the last."""
    kept = np.unique(np.linspace(0, len(x) - 1, _POINTS).round().astype(int))
    return tuple(zip(x[kept].tolist(), y[kept].tolist(), strict=True))
