"""Table rows: metrics and slices of one model or two, and results by class."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from components.evaluation.results import (
    ACCURACY,
    AUC,
    BALANCED_ACCURACY,
    BRIER,
    ECE,
    LOG_LOSS,
    MACRO_F1,
    OVERALL,
    PR_AUC,
    TOP_5_ACCURACY,
    Estimate,
    ModelResult,
    wilson,
)

NAMES = {
    ACCURACY: ('Accuracy', 'share of correct predictions'),
    TOP_5_ACCURACY: ('Top-5 accuracy', 'right class among the five most probable ones'),
    BALANCED_ACCURACY: ('Balanced accuracy', 'mean recall over the classes (macro average)'),
    MACRO_F1: ('Macro F1', 'mean over the classes of the harmonic mean of precision and recall'),
    AUC: ('ROC AUC', 'chance that a right class scores above a wrong one; 0.5 is random'),
    PR_AUC: ('PR AUC', 'mean precision over all recalls (average precision)'),
    LOG_LOSS: ('Log loss', 'cross-entropy; penalizes confident mistakes'),
    BRIER: ('Brier score', 'mean squared error of the probabilities'),
    ECE: ('Calibration error', 'mean difference between confidence and accuracy (ECE)'),
}
NONE = Estimate(value=None)

Matrix = Sequence[Sequence[int]]  # images by label and prediction


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """A metric of the model of the page, and of the model that it is compared with."""

    name: str  # of `results.METRICS`
    label: str
    meaning: str
    one: Estimate
    other: Estimate
    difference: float | None  # one minus other


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


def metric_rows(one: ModelResult, other: ModelResult | None) -> list[MetricRow]:
    """The metrics on the test split that either model has."""
    ones, others = (model.overall.metrics if model else {} for model in (one, other))
    rows = []
    for name, texts in NAMES.items():
        if name in ones or name in others:
            a, b = ones.get(name, NONE), others.get(name, NONE)
            difference = None if a.value is None or b.value is None else a.value - b.value
            rows.append(MetricRow(name, *texts, a, b, difference))
    return rows


def slice_rows(
    one: ModelResult, other: ModelResult | None, floors: Mapping[str, float], min_images: int
) -> list[SliceRow]:
    """Accuracy by slice, of the test split first. Floors are by `feature.name`, else by feature."""
    others = {(each.feature, each.name): each.metrics for each in other.slices} if other else {}
    return [
        SliceRow(
            each.feature,
            each.name,
            each.images,
            one=each.metrics.get(ACCURACY, NONE),
            other=others.get((each.feature, each.name), {}).get(ACCURACY, NONE),
            floor=floors.get(f'{each.feature}.{each.name}', floors.get(each.feature)),
            small=each.feature != OVERALL and each.images < min_images,
        )
        for each in one.slices
    ]


def slice_variables(rows: Sequence[SliceRow]) -> dict[str, Any]:
    """Template variables: all rows, those of each feature, and the start of the accuracy axis.

    Only intervals of small slices may lie outside of the axis.
    """
    shown = [value for row in rows for value in (row.one.value, row.other.value, row.floor)]
    shown += [row.one.low for row in rows if not row.small]
    lowest = min((value for value in shown if value is not None), default=0)
    groups = itertools.groupby(rows, lambda row: row.feature)
    return {
        'slices': rows,
        'slice_groups': [(feature, list(group)) for feature, group in groups],
        'lowest': max(0, int(lowest * 10 - 0.2)) / 10,
    }


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """Precision, recall and F1 of a class on the test split; None where they are undefined."""

    name: str
    images: int  # with this label
    precision: Estimate  # share of correct ones among the images predicted as this class
    recall: Estimate  # share of correct ones among the images with this label
    f1: float | None  # harmonic mean of both


def class_rows(confusion: Matrix, classes: Sequence[str]) -> list[ClassRow]:
    """The rows of all classes, in label order."""
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    rows = []
    for label, name in enumerate(classes):
        correct, images = confusion[label][label], sum(confusion[label])
        total = images + predicted[label]
        f1 = 2 * correct / total if total else None
        precision, recall = wilson(correct, predicted[label]), wilson(correct, images)
        rows.append(ClassRow(name, images, precision, recall, f1))
    return rows


def confusions(matrix: Matrix, classes: Sequence[str]) -> list[tuple[str, str, int]]:
    """Label, prediction and number of images of the mistakes, most frequent first."""
    found = [
        (classes[label], classes[prediction], number)
        for label, row in enumerate(matrix)
        for prediction, number in enumerate(row)
        if label != prediction and number
    ]
    return sorted(found, key=lambda each: -each[2])
