"""Table rows: metrics, slices, corruptions and confusions of one model or two."""

import dataclasses
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
    SliceResult,
)

NAMES = {
    ACCURACY: ('Accuracy', 'share of correct predictions'),
    BALANCED_ACCURACY: ('Balanced accuracy', 'mean recall over the classes'),
    AUC: ('AUC', 'chance that an image of a class scores above an image of another; 0.5 is random'),
    PR_AUC: ('PR-AUC', 'mean precision over all recalls'),
    LOG_LOSS: ('Log loss', 'cross-entropy; penalizes confident mistakes'),
    BRIER: ('Brier score', 'mean squared error of the probabilities'),
    ECE: ('Calibration error', 'mean difference between confidence and accuracy (ECE)'),
}
LOWER_IS_BETTER = (LOG_LOSS, BRIER, ECE)
NONE = Estimate(value=None)


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """A metric of two models.

    Attributes:
        meaning: short explanation.
        one: the model of the page.
        other: the model that it is compared with.
        difference: one minus other; None if a value is missing.
        better: whether `one` is better; None if they are equal or not comparable.
    """

    label: str
    meaning: str
    one: Estimate
    other: Estimate
    difference: float | None
    better: bool | None


@dataclasses.dataclass(frozen=True)
class SliceRow:
    """Accuracy of two models on a slice of the test split.

    Attributes:
        first: whether this is the first slice of its feature.
        floor: the recipe's minimum accuracy; None if there is none.
        small: whether the slice has too few images for a vote.
        below: whether the slice has a vote and its accuracy is below the floor.
    """

    feature: str
    name: str
    first: bool
    images: int
    one: Estimate
    other: Estimate
    floor: float | None
    small: bool
    below: bool


def metric_rows(one: ModelResult | None, other: ModelResult | None) -> list[MetricRow]:
    """The metrics on the test split that either model has."""
    ones, others = (model.overall.metrics if model else {} for model in (one, other))
    return [
        _metric_row(name, ones.get(name, NONE), others.get(name, NONE))
        for name in METRICS
        if name in ones or name in others
    ]


def _metric_row(name: str, one: Estimate, other: Estimate) -> MetricRow:
    difference = None
    if one.value is not None and other.value is not None:
        difference = one.value - other.value
    better = (difference < 0) == (name in LOWER_IS_BETTER) if difference else None
    return MetricRow(*NAMES[name], one, other, difference, better)


def slice_rows(
    one: ModelResult, other: ModelResult | None, floors: Mapping[str, float], min_images: int
) -> list[SliceRow]:
    """Accuracy by slice: the test split first, then in the order of SLICED_BY."""
    others = {_key(each): each for each in other.slices} if other else {}
    rows: list[SliceRow] = []
    order = (OVERALL, *SLICED_BY)
    for each in sorted(one.slices, key=lambda part: order.index(part.feature)):
        estimate = each.metrics.get(ACCURACY, NONE)
        floor = floor_of(floors, each)
        small = each.feature != OVERALL and each.images < min_images
        same = others.get(_key(each))
        rows.append(
            SliceRow(
                each.feature,
                each.name,
                not rows or rows[-1].feature != each.feature,
                each.images,
                estimate,
                same.metrics.get(ACCURACY, NONE) if same else NONE,
                floor,
                small,
                below=floor is not None and not small and (estimate.value or 0) < floor,
            )
        )
    return rows


def floor_of(floors: Mapping[str, float], part: SliceResult) -> float | None:
    """The floor of a slice: by `feature.name`, else by its feature."""
    return floors.get(f'{part.feature}.{part.name}', floors.get(part.feature))


def lowest_shown(rows: Sequence[SliceRow]) -> float:
    """Start of the accuracy axis; only intervals of small slices may lie outside."""
    shown = [
        number
        for row in rows
        for number in (
            row.one.value,
            None if row.small else row.one.low,
            row.other.value,
            row.floor,
        )
        if number is not None
    ]
    return max(0, int(min(shown, default=0) * 10 - 0.2)) / 10


def corruption_rows(
    robustness: Robustness,
) -> Iterator[tuple[str, Sequence[CorruptedResult | None]]]:
    """Each corruption with its results for severities 1 to 3."""
    names = dict.fromkeys(each.corruption for each in robustness.corrupted)
    for name in names:
        found = {each.severity: each for each in robustness.corrupted if each.corruption == name}
        yield name, [found.get(severity) for severity in (1, 2, 3)]


def confusions(
    matrix: Sequence[Sequence[int]], classes: Sequence[str]
) -> list[tuple[str, str, int]]:
    """Label, prediction and number of images of the mistakes, most frequent first."""
    found = [
        (classes[label], classes[prediction], number)
        for label, row in enumerate(matrix)
        for prediction, number in enumerate(row)
        if label != prediction and number
    ]
    return sorted(found, key=lambda each: -each[2])


def _key(part: SliceResult) -> tuple[str, str]:
    return part.feature, part.name
