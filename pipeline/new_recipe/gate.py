"""Chooses an evaluation gate that test images can decide."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from components.evaluation.gate.paired import (
    POWER,
    Comparison,
    compare,
    compare_balanced,
    compare_log_loss,
)
from components.evaluation.gate.rules import accuracy_for_classes
from components.evaluation.results import LARGEST_LOSS, PairedCounts

# Margins that are tried; the first ones are the defaults.
_DROPS, _BALANCED_DROPS, _LOSS_RISES = (0.02, 0.03, 0.05), (0.05, 0.1), (0.1, 0.2)
# Equal models, as in benchmarks/gate.py: the logit of the right class varies with the image, and
# the model adds to it.
_SPREAD, _NOISE = 2.5, 0.9
_DRAWS = 200
_MOST_IMAGES = 2300  # with more, every equal model is accepted
_USUAL_IMAGES, _FEWEST_IMAGES, _SHORTFALL = 50, 10, 0.75
# The embedded weights reach 0.85 on photographs of two classes, other weights 0.96 to 0.99.
_EMBEDDED_SHARE = 0.5


class Draw(NamedTuple):
    """Predictions of two equally good models, drawn at random."""

    by_class: tuple[PairedCounts, ...]
    counts: PairedCounts
    loss: float  # sum of the differences of the log losses
    loss_squares: float


@dataclass(frozen=True)
class Gate:
    """Values of `evaluation:`, and the share of equally good models that they accept as such."""

    baseline_accuracy: float | None
    min_images: int
    max_drop: float
    max_balanced_drop: float
    max_log_loss_rise: float
    undecided: Literal['keep', 'push']
    accepted: float


def choose_gate(test: Sequence[int], most_frequent: float, *, embedded: bool = False) -> Gate:
    """Chooses the smallest margins with which each rule accepts 80 % of equally good models.

    If the largest are not enough, undecided models are pushed. `test` has the expected number of
    test images of each class, `most_frequent` is the share of the largest class, and `embedded`
    states that the model starts from the embedded weights.
    """
    guessing = 1 / len(test)
    baseline = accuracy_for_classes(len(test))
    if embedded:
        baseline = guessing + (1 - guessing) * _EMBEDDED_SHARE
    draws = _draw(test, (1 + baseline) / 2)
    margins = (
        _smallest(_DROPS, draws, lambda d, margin: compare(d.counts, margin)),
        _smallest(_BALANCED_DROPS, draws, lambda d, margin: compare_balanced(d.by_class, margin)),
        _smallest(_LOSS_RISES, draws, _compare_log_loss),
    )
    accepted = np.mean(np.all([each for _, each in margins], axis=0))
    is_enough = all(each.mean() >= POWER for _, each in margins)
    drop, balanced_drop, rise = (
        margin if is_enough else defaults[0]
        for (margin, _), defaults in zip(
            margins, (_DROPS, _BALANCED_DROPS, _LOSS_RISES), strict=True
        )
    )
    return Gate(
        baseline_accuracy=round(baseline, 2) if baseline > most_frequent else None,
        min_images=min(_USUAL_IMAGES, max(_FEWEST_IMAGES, int(_SHORTFALL * sum(test)))),
        max_drop=drop,
        max_balanced_drop=balanced_drop,
        max_log_loss_rise=rise,
        undecided='keep' if is_enough else 'push',
        accepted=float(accepted),
    )


def _draw(test: Sequence[int], accuracy: float) -> list[Draw]:
    """Draws predictions for images of classes, with the same random numbers in each call."""
    generator = np.random.default_rng(0)
    scale = min(_MOST_IMAGES / max(sum(test), 1), 1)
    sizes = [max(_rounded(number * scale), 1) for number in test]
    mean = norm.ppf(accuracy) * math.hypot(_SPREAD, _NOISE)
    ends = np.cumsum(sizes)[:-1]
    draws = []
    for _ in range(_DRAWS):
        logits = generator.normal(mean, _SPREAD, sum(sizes))
        logits = logits + generator.normal(0, _NOISE, (2, sum(sizes)))
        losses = np.minimum(np.logaddexp(0, -logits), LARGEST_LOSS)
        difference = losses[0] - losses[1]
        first, second = logits > 0
        by_class = tuple(
            _counts(*pair)
            for pair in zip(np.split(first, ends), np.split(second, ends), strict=True)
        )
        sums = float(difference.sum()), float((difference**2).sum())
        draws.append(Draw(by_class, _counts(first, second), *sums))
    return draws


def _rounded(number: float) -> int:
    """Rounds to two digits: critical values are computed once for each number of images."""
    return int(float(f'{number:.1e}'))


def _counts(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> PairedCounts:
    """Counts of two models; images that both get wrong count as right, which changes no bound."""
    better, worse = int((first & ~second).sum()), int((second & ~first).sum())
    return PairedCounts(
        both_right=len(first) - better - worse,
        only_candidate_right=better,
        only_other_right=worse,
    )


def _smallest(
    margins: Sequence[float], draws: Sequence[Draw], compare_at: Callable[[Draw, float], Comparison]
) -> tuple[float, npt.NDArray[np.bool_]]:
    """The smallest sufficient margin, and which draws it accepts; the first if none is enough."""
    found = []
    for margin in margins:
        accepted = [compare_at(draw, margin).outcome == 'not inferior' for draw in draws]
        found.append((margin, np.array(accepted)))
        if np.mean(accepted) >= POWER:
            return found[-1]
    return found[0]


def _compare_log_loss(draw: Draw, margin: float) -> Comparison:
    return compare_log_loss(draw.counts.images, draw.loss, draw.loss_squares, margin)
