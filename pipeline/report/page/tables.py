"""Rows of the tables of a page: numbers of one model beside those of another."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from components.evaluation.config import CLASS, SLICED_BY, SLICES
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
    ACCURACY: ('Accuracy', 'share of images with the right answer'),
    BALANCED_ACCURACY: ('Balanced accuracy', 'mean over the classes of the share that is found'),
    AUC: ('AUC', 'chance that an image of a class scores above one that is none; 0.5 is guessing'),
    PR_AUC: ('PR-AUC', 'mean precision over all recalls'),
    LOG_LOSS: ('Log loss', 'punishes wrong answers that are sure of themselves'),
    BRIER: ('Brier score', 'mean squared error of the probabilities'),
    ECE: ('Calibration error', 'how far probabilities are from shares, on average (ECE)'),
}
LOWER_IS_BETTER = (LOG_LOSS, BRIER, ECE)
NONE = Estimate(value=None)
_MEDIUM = 'medium'  # of brightness, sharpness or size: alone it does not say of which


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """A metric of one model, and of another.

    Attributes:
        meaning: a clause for a person.
        difference: the one minus the other; None if one has no number.
        better: whether the one is the better; None if they are equal or cannot be compared.
    """

    label: str
    meaning: str
    one: Estimate
    other: Estimate
    difference: float | None
    better: bool | None


@dataclasses.dataclass(frozen=True)
class SliceRow:
    """Accuracy on a part of the images.

    Attributes:
        first: whether the feature is another than that of the row before.
        floor: what the recipe asks for; None: nothing.
        small: whether there are too few images for a vote.
        below: whether the accuracy is below the floor, and has a vote.
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


def metric_rows(one: ModelResult, other: ModelResult | None) -> list[MetricRow]:
    """All metrics on all images."""
    mine = one.overall.metrics
    others = other.overall.metrics if other else {}
    return [
        metric_row(name, mine.get(name, NONE), others.get(name, NONE))
        for name in METRICS
        if name in mine or name in others
    ]


def metric_row(name: str, one: Estimate, other: Estimate) -> MetricRow:
    """One metric of two models."""
    change = difference(one, other)
    lower = name in LOWER_IS_BETTER
    better = None if not change else (change < 0) == lower
    return MetricRow(*NAMES[name], one, other, change, better)


def difference(one: Estimate, other: Estimate) -> float | None:
    """The one minus the other."""
    if one.value is None or other.value is None:
        return None
    return one.value - other.value


def slice_rows(
    one: ModelResult, other: ModelResult | None, floors: Mapping[str, float], min_images: int
) -> list[SliceRow]:
    """Accuracy in all slices, those of all images first, then in the order of SLICED_BY."""
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
    """What the recipe asks for in a slice; its own name goes before that of its feature."""
    return floors.get(f'{part.feature}.{part.name}', floors.get(part.feature))


def lowest_shown(rows: Sequence[SliceRow]) -> float:
    """Where the axis of the slices begins; only intervals of small slices may leave it."""
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
    """Each corruption with its results by severity, 1 to 3."""
    names = dict.fromkeys(each.corruption for each in robustness.corrupted)
    for name in names:
        found = {each.severity: each for each in robustness.corrupted if each.corruption == name}
        yield name, [found.get(severity) for severity in (1, 2, 3)]


def confusions(
    matrix: Sequence[Sequence[int]], classes: Sequence[str]
) -> list[tuple[str, str, int]]:
    """Label, answer and number of images, the commonest wrong answers first."""
    found = [
        (classes[label], classes[answer], number)
        for label, row in enumerate(matrix)
        for answer, number in enumerate(row)
        if label != answer and number
    ]
    return sorted(found, key=lambda each: -each[2])


def in_words(feature: str, name: str) -> str:
    """`dark images`, `images of medium size`, `source camera`; a class keeps its name."""
    if feature in SLICES:
        return f'images of {name} {feature}' if name == _MEDIUM else f'{name} images'
    return name if feature == CLASS else f'{feature} {name}'


def _key(part: SliceResult) -> tuple[str, str]:
    return part.feature, part.name
