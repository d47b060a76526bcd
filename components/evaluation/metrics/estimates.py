"""From counts to metrics with 95 % confidence intervals.

Every interval is in closed form: the same counts give the same interval, and a split of a million
images costs no more than one of a hundred. `docs/decisions/0013-how-a-model-is-measured.md` says
why, and tests check how often they hold the truth.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, norm, t

from components.evaluation import results as names
from components.evaluation.metrics.counts import BRIER, IMAGES, LOG_LOSS, NEGATIVE, POSITIVE, Counts
from components.evaluation.results import Estimate

_Z = float(norm.ppf(0.975))
_NEARLY = 1e-9  # a share of the way; the estimate itself is never too far


def estimates(counts: Counts, classes: int) -> dict[str, Estimate]:
    """Metrics by names of `results.METRICS`; without those that mean nothing for one class alone.

    With an answer that is no number, none of them is.
    """
    labels = {label for label, _ in counts.confusion}
    measured: dict[str, Callable[[Counts], Estimate]] = {
        names.ACCURACY: _accuracy,
        names.LOG_LOSS: _log_loss,
        names.BRIER: _brier,
    }
    if len(labels) > 1:
        auc = _auc if classes == 2 else _auc_of_many
        measured |= {
            names.BALANCED_ACCURACY: _balanced_accuracy,
            names.AUC: auc,
            names.PR_AUC: _pr_auc,
            names.ECE: _ece,
        }
    if counts.broken:
        return dict.fromkeys(measured, Estimate(value=None))
    return {name: measured[name](counts) for name in names.METRICS if name in measured}


def wilson(right: int, images: int) -> Estimate:
    """A share and its 95 % score interval.

    Follows Wilson, "Probable inference, the law of succession, and statistical inference" (1927):
    unlike the usual one it stays within 0 and 1, and holds for few images and for shares near 1.

    Args:
        right: how many have what is counted.
        images: of how many; with none there is no number.
    """
    if not images:
        return Estimate(value=None)
    interval = binomtest(right, images).proportion_ci(method='wilson')
    return Estimate(value=right / images, low=float(interval.low), high=float(interval.high))


def _accuracy(counts: Counts) -> Estimate:
    right = sum(images for (label, answer), images in counts.confusion.items() if label == answer)
    return wilson(right, counts.images)


def _balanced_accuracy(counts: Counts) -> Estimate:
    """The mean of the recalls of the classes that have images.

    Its interval is made of theirs by the method of variance estimates recovery: Zou and Donner,
    "Construction of confidence limits about effect measures" (2008).
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
    negative, positive = counts.scores.sum(axis=1)
    return _auc_estimate(counts, int(negative), int(positive))


def _auc_of_many(counts: Counts) -> Estimate:
    """The decisions about one image depend on one another, so it counts as one of either kind."""
    return _auc_estimate(counts, counts.images, counts.images)


def _auc_estimate(counts: Counts, negative: int, positive: int) -> Estimate:
    """The interval is that of Newcombe, "Confidence intervals for an effect size measure based on
    the Mann-Whitney statistic. Part 2" (2006), method 5: the AUCs that are not too far from the
    one that was found, by the variance that they would have. As Wilson's, it holds near 1.
    """
    no, yes = counts.scores[NEGATIVE], counts.scores[POSITIVE]
    below = np.cumsum(no) - no
    auc = float(((below + no / 2) * yes).sum() / (no.sum() * yes.sum()))
    more = (negative + positive) / 2 - 1

    def too_far(truth: float) -> float:
        spread = truth * (1 - truth) / (negative * positive)
        spread *= 1 + more * ((1 - truth) / (2 - truth) + truth / (1 + truth))
        return (auc - truth) ** 2 - _Z**2 * spread

    low = brentq(too_far, 0, auc * (1 - _NEARLY)) if auc > 0 else 0.0
    high = brentq(too_far, auc + (1 - auc) * _NEARLY, 1) if auc < 1 else 1.0
    return Estimate(value=auc, low=low, high=high)


def _pr_auc(counts: Counts) -> Estimate:
    """The mean precision over the images that should be found, as scikit-learn's average precision.

    Its interval takes it for a share of these: Boyd, Eng and Page, "Area under the
    precision-recall curve: point estimates and confidence intervals" (2013), with Wilson's formula.
    """
    yes = counts.scores[POSITIVE][::-1]
    precision = np.cumsum(yes) / np.maximum(np.cumsum(counts.scores.sum(axis=0)[::-1]), 1)
    value, images = float((precision * yes).sum() / yes.sum()), int(yes.sum())
    shrunk = 1 + _Z**2 / images
    centre = (value + _Z**2 / (2 * images)) / shrunk
    half = _Z / shrunk * np.sqrt(value * (1 - value) / images + _Z**2 / (4 * images**2))
    low, high = max(centre - half, 0), min(centre + half, 1)
    return Estimate(value=value, low=float(low), high=float(high))


def _log_loss(counts: Counts) -> Estimate:
    return _mean(counts, LOG_LOSS)


def _brier(counts: Counts) -> Estimate:
    return _mean(counts, BRIER)


def _mean(counts: Counts, loss: int) -> Estimate:
    """The jackknife's standard error, which for a mean is known without leaving anything out.

    Student's interval is that of the logarithm, as losses are above 0 and a few are large.
    """
    total, squares = map(float, counts.losses[loss])
    mean, images = total / counts.images, counts.images
    if images < 2 or mean <= 0:
        return Estimate(value=mean)
    variance = max(squares - total * mean, 0) / (images - 1)
    factor = float(np.exp(t.ppf(0.975, images - 1) * np.sqrt(variance / images) / mean))
    return Estimate(value=mean, low=mean / factor, high=mean * factor)


def _ece(counts: Counts) -> Estimate:
    """The mean distance of confidence and share: Naeini, Cooper and Hauskrecht (2015).

    Chance alone makes it larger than it is, by no more than the mean size of what chance does in
    each bucket; the lower end allows for that.
    """
    images, confidence, right = counts.confidence[counts.confidence[:, IMAGES] > 0].T
    weight = images / images.sum()
    share = (right + 0.5) / (images + 1)  # never exactly 0 or 1, which would leave no doubt
    error = np.sqrt(share * (1 - share) / images)
    value = float((weight * abs(confidence - right) / images).sum())
    half = _Z * float(np.sqrt((weight**2 * error**2).sum()))
    chance = float((weight * error).sum() * np.sqrt(2 / np.pi))
    return Estimate(value=value, low=max(value - chance - half, 0.0), high=min(value + half, 1.0))
