"""From counts to what is plotted: confusion, ROC, precision and recall, calibration."""

import numpy as np

from components.evaluation.metrics.counts import CONFIDENCE, IMAGES, RIGHT, Counts
from components.evaluation.results import Bucket, Curves, Points

_POINTS = 200  # of a curve, at most


def curves(counts: Counts) -> Curves:
    """All of them."""
    return Curves(
        confusion=tuple((*place, images) for place, images in sorted(counts.confusion.items())),
        roc=_roc(counts),
        precision_recall=_precision_recall(counts),
        calibration=_calibration(counts),
    )


def _roc(counts: Counts) -> Points:
    """Points (false positive rate, true positive rate), from (0, 0) to (1, 1)."""
    no, yes = _from_above(counts)
    if not (no[-1] and yes[-1]):
        return ()
    return ((0.0, 0.0), *_thinned(no / no[-1], yes / yes[-1]))


def _precision_recall(counts: Counts) -> Points:
    """Points (recall, precision) of rising recall."""
    no, yes = _from_above(counts)
    return _thinned(yes / yes[-1], yes / (no + yes)) if yes[-1] else ()


def _calibration(counts: Counts) -> tuple[Bucket, ...]:
    """Buckets of rising confidence that have images."""
    return tuple(
        Bucket(
            confidence=each[CONFIDENCE] / each[IMAGES],
            share=each[RIGHT] / each[IMAGES],
            images=int(each[IMAGES]),
        )
        for each in counts.confidence
        if each[IMAGES]
    )


def _from_above(counts: Counts) -> np.ndarray:
    """Of either kind, how many have this score or a higher one: [2, n]."""
    scores = counts.scores if counts.scores.size else np.zeros((2, 1))
    return np.asarray(np.cumsum(scores[:, ::-1], axis=1))


def _thinned(across: np.ndarray, up: np.ndarray) -> Points:
    """Points of a curve, not more than a picture can show; the last is always there."""
    kept = np.unique(np.linspace(0, len(across) - 1, _POINTS).round().astype(int))
    return tuple(zip(across[kept].tolist(), up[kept].tolist(), strict=True))
