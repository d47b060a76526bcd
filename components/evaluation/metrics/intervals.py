"""Confidence intervals of proportions. A module of its own: components that need no other metric
depend on it alone.
"""

from scipy.stats import binomtest

from components.evaluation.results import Estimate


def wilson(successes: int, trials: int) -> Estimate:
    """Returns a proportion and its 95 % score interval; without a value if there are no trials.

    Follows Wilson, "Probable inference, the law of succession, and statistical inference" (1927):
    unlike the normal approximation it stays within 0 and 1, and covers for few trials and for
    proportions near 1.
    """
    if not trials:
        return Estimate(value=None)
    interval = binomtest(successes, trials).proportion_ci(method='wilson')
    return Estimate(value=successes / trials, low=float(interval.low), high=float(interval.high))
