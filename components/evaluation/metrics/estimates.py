"""Metrics from counts; accuracy, balanced accuracy, AUC and PR-AUC with 95 % confidence intervals.

The intervals are closed forms: equal counts give equal intervals, and a split of a million images
costs no more than one of a hundred. See `docs/decisions/0013-metrics-and-intervals.md`. Log loss,
Brier score and calibration error have no interval: the closed forms known for them cover the true
value too rarely on small or nearly perfect splits.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from components.evaluation import results as names
from components.evaluation.metrics.counts import BRIER, IMAGES, LOG_LOSS, NEGATIVE, POSITIVE, Counts
from components.evaluation.metrics.intervals import wilson
from components.evaluation.results import Estimate

_Z = float(norm.ppf(0.975))
_NEARLY = 1e-9  # relative distance from the estimate, where the root search starts


def estimates(counts: Counts, classes: int) -> dict[str, Estimate]:
    """Returns the metrics by names of `results.METRICS`.

    Metrics that compare classes are left out if all images have one label. All values are None if
    any prediction is NaN.
    """
    labels = {label for label, _ in counts.confusion}
    formulas: dict[str, Callable[[Counts], Estimate]] = {
        names.ACCURACY: _accuracy,
        names.LOG_LOSS: lambda counts: _mean_loss(counts, LOG_LOSS),
        names.BRIER: lambda counts: _mean_loss(counts, BRIER),
    }
    if len(labels) > 1:
        formulas |= {
            names.BALANCED_ACCURACY: _balanced_accuracy,
            names.AUC: _auc if classes == 2 else _one_vs_rest_auc,
            names.PR_AUC: _pr_auc,
            names.ECE: _calibration_error,
        }
    if counts.broken:
        return dict.fromkeys(formulas, Estimate(value=None))
    return {name: formulas[name](counts) for name in names.METRICS if name in formulas}


def _accuracy(counts: Counts) -> Estimate:
    right = sum(
        images for (label, predicted), images in counts.confusion.items() if label == predicted
    )
    return wilson(right, counts.images)


def _balanced_accuracy(counts: Counts) -> Estimate:
    """Mean recall of the classes that have images.

    The interval combines the Wilson intervals of the recalls by the method of variance estimates
    recovery: Zou and Donner, "Construction of confidence limits about effect measures" (2008).
    """
    images: dict[int, int] = {}
    for (label, _), number in counts.confusion.items():
        images[label] = images.get(label, 0) + number
    recalls = [wilson(counts.confusion.get((label, label), 0), n) for label, n in images.items()]
    low, value, high = np.array([(each.low, each.value, each.high) for each in recalls], float).T
    mean = float(value.mean())
    below, above = (float(np.sqrt(((end - value) ** 2).sum())) / len(value) for end in (low, high))
    return Estimate(value=mean, low=mean - below, high=mean + above)


def _auc(counts: Counts) -> Estimate:
    negatives, positives = counts.scores.sum(axis=1)
    return _auc_estimate(counts, int(negatives), int(positives))


def _one_vs_rest_auc(counts: Counts) -> Estimate:
    """The scores of one image are dependent: it counts as one positive and one negative."""
    return _auc_estimate(counts, counts.images, counts.images)


def _auc_estimate(counts: Counts, negatives: int, positives: int) -> Estimate:
    """The interval is method 5 of Newcombe, "Confidence intervals for an effect size measure based
    on the Mann-Whitney statistic. Part 2" (2006): it contains each AUC whose own standard error
    explains the estimate. Like Wilson's interval it holds near 1.
    """
    no, yes = counts.scores[NEGATIVE], counts.scores[POSITIVE]
    below = np.cumsum(no) - no
    auc = float(((below + no / 2) * yes).sum() / (no.sum() * yes.sum()))
    degrees = (negatives + positives) / 2 - 1

    def excess(truth: float) -> float:
        """Above 0 where the estimate is too far from `truth`."""
        variance = truth * (1 - truth) / (negatives * positives)
        variance *= 1 + degrees * ((1 - truth) / (2 - truth) + truth / (1 + truth))
        return (auc - truth) ** 2 - _Z**2 * variance

    low = brentq(excess, 0, auc * (1 - _NEARLY)) if auc > 0 else 0.0
    high = brentq(excess, auc + (1 - auc) * _NEARLY, 1) if auc < 1 else 1.0
    return Estimate(value=auc, low=low, high=high)


def _pr_auc(counts: Counts) -> Estimate:
    """Average precision, as defined by scikit-learn.

    The interval treats it as a proportion of the positives: Boyd, Eng and Page, "Area under the
    precision-recall curve: point estimates and confidence intervals" (2013), with Wilson's formula.
    """
    yes = counts.scores[POSITIVE][::-1]
    precision = np.cumsum(yes) / np.maximum(np.cumsum(counts.scores.sum(axis=0)[::-1]), 1)
    value, positives = float((precision * yes).sum() / yes.sum()), int(yes.sum())
    shrunk = 1 + _Z**2 / positives
    centre = (value + _Z**2 / (2 * positives)) / shrunk
    half = _Z / shrunk * np.sqrt(value * (1 - value) / positives + _Z**2 / (4 * positives**2))
    low, high = max(centre - half, 0), min(centre + half, 1)
    return Estimate(value=value, low=float(low), high=float(high))


def _mean_loss(counts: Counts, loss: int) -> Estimate:
    return Estimate(value=float(counts.losses[loss]) / counts.images)


def _calibration_error(counts: Counts) -> Estimate:
    """Expected calibration error: Naeini, Cooper and Hauskrecht (2015)."""
    images, confidence, right = counts.confidence[counts.confidence[:, IMAGES] > 0].T
    return Estimate(value=float(abs(confidence - right).sum() / images.sum()))
