"""Confidence intervals of shares."""

from components.evaluation.results import Estimate


def wilson(right: int, images: int) -> Estimate:
    """A share and its 95 % score interval.

    Follows Wilson, "Probable inference, the law of succession, and statistical inference" (1927):
    unlike the usual one it stays within 0 and 1, and holds for few images and for shares near 1.

    Args:
        right: how many have what is counted.
        images: of how many; with none there is no number.
    """
    from scipy.stats import binomtest  # takes a while

    if not images:
        return Estimate(value=None)
    interval = binomtest(right, images).proportion_ci(method='wilson')
    return Estimate(value=right / images, low=float(interval.low), high=float(interval.high))
