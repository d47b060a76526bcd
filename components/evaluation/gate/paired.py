"""Paired comparison of two models on the same images: not inferior, inferior or undecided.

All bounds are one-sided. See `docs/decisions/0017-non-inferiority.md` for the choice of methods,
their error rates and the default margins.
"""

import functools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.stats import norm

from common.strict_model import StrictModel
from components.evaluation.gate.exact_test import acceptance, critical_value, lower_bound, score
from components.evaluation.results import LARGEST_LOSS, PairedCounts

CONFIDENCE = 0.95  # of each bound
ANCHOR_CONFIDENCE = 0.98  # of the bounds of a comparison with an anchor that is not the live model
POWER = 0.8  # of a sufficient number of images

_WORST_IMAGES = 1.5  # added to the bound of a mean loss; chosen by exact computation
_MOST_EXACT = 5000  # images; power is exact up to here
_WAVES = 1, 1.05, 1.1  # multiples of a number of images at which power is checked
_STEP = 1.02  # factor between two numbers of images
_LARGEST_MARGIN = 0.5  # of one class

Outcome = Literal['not inferior', 'inferior', 'undecided']


class Comparison(StrictModel):
    """Result of a comparison: the candidate's metric minus that of the other model."""

    outcome: Outcome
    difference: float
    low: float  # one-sided lower bound
    high: float  # one-sided upper bound


def compare(counts: PairedCounts, margin: float, confidence: float = CONFIDENCE) -> Comparison:
    """Compares accuracies.

    Not inferior: the lower bound is above -margin. Inferior: it is not, and the upper bound is
    below 0. Undecided: neither, because the images are too few. A candidate that is worse by the
    margin is not inferior with a probability of at most 1 - confidence, and one that is equally
    good is inferior with at most that probability, for every number of images. With a margin of 0,
    only a better candidate is not inferior; with one of 1, every candidate is.
    """
    low, high = _bounds(counts, margin, confidence)
    return _comparison(counts.difference, low, high, margin)


def is_better(counts: PairedCounts, confidence: float = CONFIDENCE) -> bool:
    """Returns whether the accuracy of the candidate is shown to be higher."""
    return compare(counts, 0.0, confidence).outcome == 'not inferior'


def compare_balanced(
    counts: Sequence[PairedCounts], margin: float, confidence: float = CONFIDENCE
) -> Comparison:
    """Compares balanced accuracies from the counts of each class; skips classes without images.

    The bounds combine those of the classes by the method of variance estimates recovery: Zou and
    Donner, "Construction of confidence limits about effect measures" (2008).
    """
    classes = [each for each in counts if each.images]
    if not classes:
        return _comparison(0.0, -1.0, 1.0, margin)
    # The drop of a single class that alone lowers the mean by the margin.
    largest = min(margin * len(classes), _LARGEST_MARGIN)
    differences = np.array([each.difference for each in classes])
    low, high = np.array([_bounds(each, largest, confidence) for each in classes]).T
    mean = float(differences.mean())
    below, above = (float(np.linalg.norm(end - differences)) / len(classes) for end in (low, high))
    return _comparison(mean, mean - below, mean + above, margin)


def compare_log_loss(
    images: int,
    total: float,
    squares: float,
    margin: float,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Compares mean log losses: positive differences are worse.

    `total` and `squares` are the sum and the sum of squares, over the images, of the candidate's
    loss minus that of the other model. Each loss is capped at LARGEST_LOSS first; without a cap no
    bound holds, because a rare large loss may not be in the sample. The bounds are those of the
    normal approximation after 1.5 images with the worst possible difference are added.

    Not inferior: the upper bound is below the margin. Inferior: it is not, and the lower bound is
    above 0.
    """
    if not images:
        return _comparison(0.0, -LARGEST_LOSS, LARGEST_LOSS, margin)
    quantile = float(norm.ppf(confidence))

    def bound(sign: int) -> float:
        added = images + _WORST_IMAGES
        mean = (total + sign * _WORST_IMAGES * LARGEST_LOSS) / added
        variance = (squares + _WORST_IMAGES * LARGEST_LOSS**2) / added - mean**2
        return mean + sign * quantile * math.sqrt(max(variance, 0.0) / images)

    low, high = max(bound(-1), -LARGEST_LOSS), min(bound(1), LARGEST_LOSS)
    mirrored = _comparison(-total / images, -high, -low, margin)
    return Comparison(outcome=mirrored.outcome, difference=total / images, low=low, high=high)


def power(
    images: int, discordant_share: float, margin: float, confidence: float = CONFIDENCE
) -> float:
    """Returns the probability that an equally good candidate is not inferior.

    Exact up to 5,000 images, the normal approximation beyond.
    """
    if images <= _MOST_EXACT:
        half = discordant_share / 2
        return acceptance(images, half, half, margin, confidence)
    null = _null_deviation(discordant_share, margin)
    excess = math.sqrt(images) * margin - norm.ppf(confidence) * null
    return float(norm.cdf(excess / math.sqrt(discordant_share)))


def images_needed(
    discordant_share: float,
    margin: float,
    target: float = POWER,
    confidence: float = CONFIDENCE,
) -> int:
    """Returns a number of images from which on `power` is at least `target`.

    Raises:
        ValueError: the margin is 0: equally good candidates are accepted at most 5 % of the time.
    """
    if margin <= 0:
        raise ValueError('no number of images suffices with a margin of 0')
    null = _null_deviation(discordant_share, margin)
    spread = norm.ppf(confidence) * null + norm.ppf(target) * math.sqrt(discordant_share)
    images = math.ceil((spread / margin) ** 2)
    # Power grows in waves: an approximately sufficient number may be in a trough.
    while any(
        power(round(images * more), discordant_share, margin, confidence) < target
        for more in _WAVES
    ):
        images = math.ceil(images * _STEP)
    return images


def power_in_words(counts: PairedCounts, margin: float, confidence: float = CONFIDENCE) -> str:
    """Returns how often these images accept an equally good candidate, and the number for POWER.

    Without discordant images, their share is the 95 % upper bound of a count of 0.
    """
    if not counts.images:
        return 'no images'
    if margin <= 0:
        return (
            f'a margin of 0 asks for a better model: an equally good one is accepted at most '
            f'{100 * (1 - confidence):.0f} % of the time, whatever the number of images'
        )
    none = 1 - (1 - CONFIDENCE) ** (1 / counts.images)
    share = counts.discordant / counts.images or none
    accepted = power(counts.images, share, margin, confidence)
    needed = images_needed(share, margin, confidence=confidence)
    return (
        f'at {100 * share:.3g} % discordant pairs {counts.images:,} images accept an equally good '
        f'model {100 * accepted:.0f} % of the time at a margin of {margin:g}; {needed:,} are '
        f'needed for {100 * POWER:.0f} %'
    )


@functools.lru_cache(maxsize=4096)
def _bounds(counts: PairedCounts, margin: float, confidence: float) -> tuple[float, float]:
    """Bounds of the difference; the exact tests at -margin and at 0 agree with them."""
    images, better, worse = counts.images, counts.only_candidate_right, counts.only_other_right
    if not images:
        return -1.0, 1.0
    low = lower_bound(better, worse, images, critical_value(images, margin, confidence))
    high = -lower_bound(worse, better, images, critical_value(images, 0.0, confidence))
    return low, high


def _comparison(difference: float, low: float, high: float, margin: float) -> Comparison:
    outcome: Outcome = 'undecided'
    if low > -margin or margin >= 1:
        outcome = 'not inferior'
    elif high < 0:
        outcome = 'inferior'
    return Comparison(outcome=outcome, difference=difference, low=low, high=high)


def _null_deviation(discordant_share: float, margin: float) -> float:
    """Standard deviation of one image's difference, estimated for a candidate worse by `margin`."""
    half = discordant_share / 2
    return margin / float(score(half, half, 1, margin))
