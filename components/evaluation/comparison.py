"""Paired comparison of two models on the same images, by accuracy or balanced accuracy.

See `docs/decisions/0017-non-inferiority.md` for the choice of methods and their error rates.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from components.evaluation.results import ACCURACY, LEAST_GROUPS, Comparison, Outcome

_Z = float(norm.ppf(0.95))  # of each one-sided bound
_DRAWS, _CHUNK, _SEED = 10_000, 100, 0
_EDGE = 1 - 1e-9  # largest difference that is searched

_Bounds = tuple[float, float]


def compare(
    labels: np.ndarray,
    candidate: np.ndarray,
    reference: np.ndarray,
    *,
    metric: str = ACCURACY,
    margin: float = 0.05,
    groups: np.ndarray | None = None,
) -> Comparison:
    """Compares the predictions of two models for one or more images.

    - better: the lower bound of the difference is above 0.
    - worse: the upper bound is below 0, whatever the margin is.
    - not worse: neither, and the lower bound is above -margin.
    - same: the models agree on every image.
    - undecided: none of these, because the images are too few.

    Args:
        labels: true classes, int [images].
        candidate: its predicted classes, int [images], -1 for NaN, which is wrong.
        reference: the same of the other model.
        metric: `accuracy`, or `balanced_accuracy`, the mean over the classes that have images.
        margin: largest drop of the metric that is acceptable.
        groups: identifiers of groups of dependent images, int [images], 0: none. With any, the
            bounds are also those of a bootstrap of groups, and fewer than 20 decide nothing.
    """
    right, before = candidate == labels, reference == labels
    changes = right.astype(int) - before
    strata = np.zeros(len(labels), int)
    if metric != ACCURACY:
        strata = np.unique(labels, return_inverse=True)[1]
    low, high = _score_bounds([changes[strata == each] for each in np.unique(strata)])
    number = None  # of groups
    if groups is not None and groups.any():
        clusters = _clusters(groups)
        number = int(clusters.max()) + 1
        lower, upper = _bootstrap_bounds(changes, strata, clusters)
        low, high = min(low, lower), max(high, upper)
    enough = number is None or number >= LEAST_GROUPS
    outcome = _outcome(low, high, margin) if enough else 'undecided'
    if outcome in ('undecided', 'not worse') and np.array_equal(candidate, reference):
        outcome = 'same'
    now, then = (_mean(each, strata) for each in (right, before))
    needed = None
    if outcome == 'undecided' and enough:
        needed = _needed(len(labels), now - then, low, high, margin)
    return Comparison(
        metric=metric,
        outcome=outcome,
        images=len(labels),
        groups=number,
        better=int((changes > 0).sum()),
        worse=int((changes < 0).sum()),
        candidate=now,
        reference=then,
        low=low,
        high=high,
        needed=needed,
    )


@functools.lru_cache(maxsize=4096)
def score_bound(better: int, worse: int, images: int) -> float:
    """Returns Tango's lower bound of a difference of paired proportions.

    Tango, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design" (1998). At 0 the test is McNemar's.
    """
    if _score(better, worse, images, _EDGE) <= _Z:
        return -1.0
    found = brentq(lambda drop: _score(better, worse, images, drop) - _Z, -_EDGE, _EDGE)
    return -float(found)


def _score(better: int, worse: int, images: int, drop: float) -> float:
    """Tango's statistic for "the candidate is worse by `drop`": large values reject."""
    linear = better * (1 - drop) + worse * (1 + drop) - 2 * images * drop
    root = math.sqrt(max(linear**2 + 8 * images * better * drop * (1 - drop), 0.0))
    share = (linear + root) / (4 * images)  # of `better` images: most likely under the hypothesis
    variance = max(images * (2 * share + drop * (1 - drop)), 1e-12)
    return (better - worse + images * drop) / math.sqrt(variance)


def _score_bounds(strata: Sequence[np.ndarray]) -> _Bounds:
    """Bounds of the mean difference of strata, from the changes (-1, 0, 1) of their images.

    Those of the strata are combined by the method of variance estimates recovery: Zou and Donner,
    "Construction of confidence limits about effect measures" (2008).
    """
    counts = [(int((each > 0).sum()), int((each < 0).sum()), len(each)) for each in strata]
    differences = np.array([each.mean() for each in strata])
    lows = np.array([score_bound(better, worse, images) for better, worse, images in counts])
    highs = np.array([-score_bound(worse, better, images) for better, worse, images in counts])
    mean = float(differences.mean())
    below, above = (float(np.linalg.norm(each - differences)) for each in (lows, highs))
    return mean - below / len(strata), mean + above / len(strata)


def _clusters(groups: np.ndarray) -> np.ndarray:
    """The numbers from 0 of the groups of images; an image without a group is one of its own."""
    found = np.unique(groups, return_inverse=True)[1]
    single = len(groups) + np.arange(len(groups))
    return np.unique(np.where(groups > 0, found, single), return_inverse=True)[1]


def _bootstrap_bounds(changes: np.ndarray, strata: np.ndarray, clusters: np.ndarray) -> _Bounds:
    """Percentile bounds of the mean difference of strata, with whole clusters drawn anew."""
    cells = (clusters.max() + 1, strata.max() + 1)
    images, totals = np.zeros(cells), np.zeros(cells)
    np.add.at(images, (clusters, strata), 1)
    np.add.at(totals, (clusters, strata), changes)
    random = np.random.default_rng(_SEED)
    rows = np.arange(_CHUNK)[:, np.newaxis] * cells[0]
    found = []
    for _ in range(_DRAWS // _CHUNK):
        places = rows + random.integers(cells[0], size=(_CHUNK, cells[0]))
        drawn = np.bincount(places.ravel(), minlength=_CHUNK * cells[0]).reshape(_CHUNK, -1)
        number = drawn @ images  # a stratum without images has no part in the mean
        shares = np.divide(drawn @ totals, number, out=np.zeros_like(number), where=number > 0)
        found.append(shares.sum(axis=1) / (number > 0).sum(axis=1))
    low, high = np.quantile(np.concatenate(found), [0.05, 0.95])
    return float(low), float(high)


def _mean(right: np.ndarray, strata: np.ndarray) -> float:
    return float(np.mean([right[strata == each].mean() for each in np.unique(strata)]))


def _outcome(low: float, high: float, margin: float) -> Outcome:
    if high < 0:
        return 'worse'
    if low > 0:
        return 'better'
    return 'not worse' if low > -margin else 'undecided'


def _needed(images: int, difference: float, low: float, high: float, margin: float) -> int | None:
    """Further images that decide, if they are like these: bounds narrow with the square root."""
    factors = []
    if difference > -margin:
        factors.append((difference - low) / (difference + margin))
    if difference < 0:
        factors.append((high - difference) / -difference)
    return math.ceil(images * (min(factors) ** 2 - 1)) if factors else None
