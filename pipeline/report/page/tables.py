"""Table rows: metrics, slices and corruptions of one model or two."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

from components.evaluation.config import SLICED_BY
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
    Robustness,
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

    @property
    def violated(self) -> bool:
        """Whether the accuracy is below the floor, on enough images."""
        return not self.small and self.floor is not None and (self.one.value or 0) < self.floor


def metric_rows(
    one: ModelResult | None, other: ModelResult | None, *, subtracted: bool = True
) -> list[MetricRow]:
    """The metrics on the test split that either model has.

    A difference is significant if the 95 % intervals do not overlap. There are no differences
    without `subtracted`, and between models on other numbers of images or classes.
    """
    if one and other:
        subtracted &= one.overall.images == other.overall.images
        subtracted &= len(one.confusion) == len(other.confusion)
    ones, others = (model.overall.metrics if model else {} for model in (one, other))
    many = any(model and len(model.confusion) > 2 for model in (one, other))
    names = NAMES | _MICRO_NAMES if many else NAMES
    rows = []
    for name in METRICS:
        if name not in ones and name not in others:
            continue
        a, b = ones.get(name, NONE), others.get(name, NONE)
        difference = better = None
        if subtracted and a.value is not None and b.value is not None:
            difference = a.value - b.value
            if difference and is_apart(a, b):
                better = (difference < 0) == (name in LOWER_IS_BETTER)
        rows.append(MetricRow(*names[name], a, b, difference, better))
    return rows


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
        row = SliceRow(
            each.feature,
            each.name,
            each.images,
            one=accuracy,
            other=others.get((each.feature, each.name), {}).get(ACCURACY, NONE),
            floor=floor,
            small=each.feature != OVERALL and each.images < min_images,
        )
        rows.append(row)
    return rows


def slice_groups(rows: Sequence[SliceRow]) -> list[tuple[str, list[SliceRow]]]:
    """The rows by slicing feature, in their order."""
    groups = itertools.groupby(rows, lambda row: row.feature)
    return [(feature, list(group)) for feature, group in groups]


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
