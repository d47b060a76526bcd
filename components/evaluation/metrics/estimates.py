"""Metrics and curves from counts.

Accuracy, balanced accuracy, AUC and PR-AUC have 95 % confidence intervals. They are closed forms:
equal counts give equal intervals, and a split of a million images costs no more than one of a
hundred. See `docs/decisions/0013-metrics-and-intervals.md`. Log loss, Brier score and calibration
error have none: the closed forms known for them cover the true value too rarely on small or nearly
perfect splits.
"""

import numpy as np
from scipy.optimize import brentq

from components.evaluation import results
from components.evaluation.metrics.counts import Counts
from components.evaluation.results import Bucket, Estimate, wilson

_NEARLY = 1e-9  # relative distance from the estimate, where the root search starts
_POINTS = 200  # maximum per curve


def estimates(counts: Counts) -> dict[str, Estimate]:
    """Returns the metrics by names of `results.METRICS`.

    Metrics that compare classes are left out if all images have one label. All values are None if
    any prediction is NaN.
    """
    correct, images = counts.confusion.diagonal(), counts.confusion.sum(axis=1)
    found = {
        results.ACCURACY: wilson(int(correct.sum()), counts.images),
        results.LOG_LOSS: Estimate(value=counts.log_loss / counts.images),
        results.BRIER: Estimate(value=counts.brier / counts.images),
    }
    if np.count_nonzero(images) > 1:
        found |= {
            results.BALANCED_ACCURACY: _balanced_accuracy(correct[images > 0], images[images > 0]),
            results.AUC: _auc(counts),
            results.PR_AUC: _pr_auc(counts),
            results.ECE: _calibration_error(counts),
        }
    if counts.nan:
        return dict.fromkeys(found, Estimate(value=None))
    return {name: found[name] for name in results.METRICS if name in found}


def _balanced_accuracy(correct: np.ndarray, images: np.ndarray) -> Estimate:
    """Mean recall of the classes that have images.

    The interval combines the Wilson intervals of the recalls by the method of variance estimates
    recovery: Zou and Donner, "Construction of confidence limits about effect measures" (2008).
    """
    recalls = [wilson(*each) for each in zip(correct.tolist(), images.tolist(), strict=True)]
    low, value, high = np.array([(each.low, each.value, each.high) for each in recalls], float).T
    mean = float(value.mean())
    below, above = (float(np.sqrt(((end - value) ** 2).sum())) / len(value) for end in (low, high))
    return Estimate(value=mean, low=mean - below, high=mean + above)


def _auc(counts: Counts) -> Estimate:
    """Area under the ROC curve; one-vs-rest micro average of three or more classes.

    The interval is method 5 of Newcombe, "Confidence intervals for an effect size measure based on
    the Mann-Whitney statistic. Part 2" (2006): it contains each AUC whose own standard error
    explains the estimate. Like Wilson's interval it holds near 1.
    """
    no, yes = counts.decisions_by_score()
    negatives, positives = int(no.sum()), int(yes.sum())
    auc = float(((np.cumsum(yes) - yes / 2) * no).sum() / (negatives * positives))
    if counts.confusion.shape[0] > 2:
        # The scores of one image are dependent: it counts as one positive and one negative.
        negatives = positives = counts.images
    degrees = (negatives + positives) / 2 - 1

    def excess(truth: float) -> float:
        """Above 0 where the estimate is too far from `truth`."""
        variance = truth * (1 - truth) / (negatives * positives)
        variance *= 1 + degrees * ((1 - truth) / (2 - truth) + truth / (1 + truth))
        return (auc - truth) ** 2 - results.Z**2 * variance

    low = brentq(excess, 0, auc * (1 - _NEARLY)) if auc > 0 else 0.0
    high = brentq(excess, auc + (1 - auc) * _NEARLY, 1) if auc < 1 else 1.0
    return Estimate(value=auc, low=low, high=high)


def _pr_auc(counts: Counts) -> Estimate:
    """Average precision, as defined by scikit-learn.

    The interval treats it as a proportion of the positives: Boyd, Eng and Page, "Area under the
    precision-recall curve: point estimates and confidence intervals" (2013), with Wilson's formula.
    """
    no, yes = counts.decisions_by_score()
    precision = np.cumsum(yes) / np.cumsum(no + yes)
    return wilson(float((precision * yes).sum()), int(yes.sum()))


def _calibration_error(counts: Counts) -> Estimate:
    """Expected calibration error: Naeini, Cooper and Hauskrecht (2015)."""
    images, confidence, correct = counts.calibration
    return Estimate(value=float(abs(confidence - correct).sum() / images.sum()))


def curves(counts: Counts) -> results.Curves:
    """Returns the curves; ROC is empty without two classes, precision-recall without positives."""
    no, yes = np.cumsum(counts.decisions_by_score(), axis=1)
    negatives, positives = (int(each[-1]) if each.size else 0 for each in (no, yes))
    roc: results.Points = ()
    if negatives and positives:
        roc = ((0.0, 0.0), *_downsampled(no / negatives, yes / positives))
    return results.Curves(
        roc=roc,
        precision_recall=_downsampled(yes / positives, yes / (no + yes)) if positives else (),
        calibration=tuple(
            Bucket(confidence=confidence / images, share=correct / images, images=int(images))
            for images, confidence, correct in counts.calibration.T.tolist()
            if images
        ),
    )


def _downsampled(x: np.ndarray, y: np.ndarray) -> results.Points:
    """At most `_POINTS` points of a curve, including the first and the last."""
    kept = np.unique(np.linspace(0, len(x) - 1, _POINTS).round().astype(int))
    return tuple(zip(x[kept].tolist(), y[kept].tolist(), strict=True))
