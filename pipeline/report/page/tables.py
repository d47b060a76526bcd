"""Table rows: metrics, slices and corruptions of one model or two."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from components.evaluation.config import SLICED_BY
from components.evaluation.gate.paired import compare
from components.evaluation.results import (
    ACCURACY,
    AUC,
    BALANCED_ACCURACY,
    BRIER,
    ECE,
    LOG_LOSS,
    METRICS,
    OVERALL,
    PR_AUC,
    CorruptedResult,
    Estimate,
    ModelResult,
    Pairs,
    Robustness,
    Z,
)

NAMES = {
    ACCURACY: ('Accuracy', 'share of correct predictions'),
    BALANCED_ACCURACY: ('Balanced accuracy', 'mean recall over the classes (macro average)'),
    AUC: (
        'ROC AUC',
        'chance that an image of a class scores above an image of another; 0.5 is random',
    ),
    PR_AUC: ('PR AUC', 'mean precision over all recalls (average precision)'),
    LOG_LOSS: ('Log loss', 'cross-entropy; penalizes confident mistakes'),
    BRIER: ('Brier score', 'mean squared error of the probabilities'),
    ECE: ('Calibration error', 'mean difference between confidence and accuracy (ECE)'),
}
MICRO = 'one-vs-rest, micro average'  # of the curves of three or more classes
_MICRO_NAMES = {
    AUC: ('ROC AUC', f'chance that a right class scores above a wrong one; {MICRO}'),
    PR_AUC: ('PR AUC', f'mean precision over all recalls; {MICRO}'),
}
LOWER_IS_BETTER = (LOG_LOSS, BRIER, ECE)
NONE = Estimate(value=None)


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """A metric of the model of the page, and of the model that it is compared with."""

    label: str
    meaning: str
    one: Estimate
    other: Estimate
    difference: float | None  # one minus other
    better: bool | None  # whether `one` is significantly better; None if the difference is not


@dataclasses.dataclass(frozen=True)
class SliceRow:
    """Accuracy of two models on a slice of the test split."""

    feature: str
    name: str
    images: int
    one: Estimate
    other: Estimate
    floor: float | None  # minimum accuracy of the recipe
    small: bool  # has too few images for its floor to decide
    # Images from which on the 95 % interval excludes the floor, if the accuracy stays the same;
    # None if it does already, or never
    conclusive: int | None

    @property
    def violated(self) -> bool:
        """Whether the accuracy is below the floor, on enough images."""
        return not self.small and self.floor is not None and (self.one.value or 0) < self.floor


def metric_rows(
    one: ModelResult | None, other: ModelResult | None, *, subtracted: bool = True
) -> list[MetricRow]:
    """The metrics on the test split that either model has.

    Of two models on the same images, a difference of the accuracy is significant by the gate's
    exact test, and one of the log loss by the normal approximation; others are if the 95 %
    intervals do not overlap. Without `subtracted`, and with other numbers of images or classes,
    there are no differences.
    """
    if one and other:
        subtracted &= one.overall.images == other.overall.images
        subtracted &= len(one.confusion) == len(other.confusion)
    pairs = other.overall.pairs if one and other else None
    ones, others = (model.overall.metrics if model else {} for model in (one, other))
    many = any(model and len(model.confusion) > 2 for model in (one, other))
    names = NAMES | _MICRO_NAMES if many else NAMES
    rows = []
    for name in METRICS:
        if name not in ones and name not in others:
            continue
        a, b = ones.get(name, NONE), others.get(name, NONE)
        difference = None
        if subtracted and a.value is not None and b.value is not None:
            difference = a.value - b.value
        if pairs and name in _PAIRED_TESTS:
            significant = _PAIRED_TESTS[name](pairs)
        else:
            significant = is_apart(a, b)
        better = None
        if difference and significant:
            better = (difference < 0) == (name in LOWER_IS_BETTER)
        rows.append(MetricRow(*names[name], a, b, difference, better))
    return rows


def _accuracies_differ(pairs: Pairs) -> bool:
    found = compare(pairs.counts, margin=0, confidence=0.975)  # on each side
    return found.outcome != 'undecided'


def _log_losses_differ(pairs: Pairs) -> bool:
    spread = pairs.log_loss_squares - pairs.log_loss**2 / max(pairs.finite, 1)
    return abs(pairs.log_loss) > Z * math.sqrt(max(spread, 0))


_PAIRED_TESTS = {ACCURACY: _accuracies_differ, LOG_LOSS: _log_losses_differ}


def is_apart(a: Estimate, b: Estimate) -> bool:
    """Whether two intervals do not overlap; False if one is missing."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low > b.high or a.high < b.low


def slice_rows(
    one: ModelResult, other: ModelResult | None, floors: Mapping[str, float], min_images: int
) -> list[SliceRow]:
    """Accuracy by slice: the test split first, then in the order of SLICED_BY.

    Floors are by `feature.name`, else by feature.
    """
    others = {(each.feature, each.name): each.metrics for each in other.slices} if other else {}
    order = {feature: place for place, feature in enumerate((OVERALL, *SLICED_BY))}
    rows = []
    for each in sorted(one.slices, key=lambda part: order.get(part.feature, len(order))):
        accuracy = each.metrics.get(ACCURACY, NONE)
        floor = floors.get(f'{each.feature}.{each.name}', floors.get(each.feature))
        conclusive = images_to_exclude(floor, accuracy.value)
        row = SliceRow(
            each.feature,
            each.name,
            each.images,
            one=accuracy,
            other=others.get((each.feature, each.name), {}).get(ACCURACY, NONE),
            floor=floor,
            small=each.feature != OVERALL and each.images < min_images,
            conclusive=conclusive if conclusive and conclusive > each.images else None,
        )
        rows.append(row)
    return rows


def slice_groups(rows: Sequence[SliceRow]) -> list[tuple[str, list[SliceRow]]]:
    """The rows by slicing feature, in their order."""
    groups = itertools.groupby(rows, lambda row: row.feature)
    return [(feature, list(group)) for feature, group in groups]


def images_to_exclude(bound: float | None, share: float | None) -> int | None:
    """The number of images from which on the Wilson interval of a share excludes a bound.

    Wilson's interval has the bounds that the score test does not reject. None if a value is
    missing, or both are equal.
    """
    if bound is None or share is None or bound == share:
        return None
    return math.floor(Z**2 * bound * (1 - bound) / (share - bound) ** 2) + 1


def lowest_shown(rows: Sequence[SliceRow]) -> float:
    """Start of the accuracy axis; only intervals of small slices may lie outside."""
    shown = [value for row in rows for value in (row.one.value, row.other.value, row.floor)]
    shown += [row.one.low for row in rows if not row.small]
    lowest = min((value for value in shown if value is not None), default=0)
    return max(0, int(lowest * 10 - 0.2)) / 10


def corruption_rows(
    robustness: Robustness,
) -> Iterator[tuple[str, list[CorruptedResult | None]]]:
    """Each corruption with its results for severities 1 to 3."""
    for name in dict.fromkeys(each.corruption for each in robustness.corrupted):
        found = {each.severity: each for each in robustness.corrupted if each.corruption == name}
        yield name, [found.get(severity) for severity in (1, 2, 3)]


def largest_loss(robustness: Robustness) -> tuple[float, str] | None:
    """The largest loss of accuracy by a corruption and its name; None without a loss."""
    losses = [(robustness.loss(each) or 0.0, each.corruption) for each in robustness.corrupted]
    return max((each for each in losses if each[0] > 0), default=None)
