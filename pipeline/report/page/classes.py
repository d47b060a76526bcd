"""Results by class: precision, recall, F1, and the confusion matrix."""

import dataclasses
from collections.abc import Sequence

from components.evaluation.results import Estimate, wilson

Matrix = Sequence[Sequence[int]]  # images by label and prediction


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


def macro_average(rows: Sequence[ClassRow]) -> ClassRow:
    """The means over the classes with images; a class that is never predicted has precision 0."""
    present = [row for row in rows if row.images]

    def mean(values: Sequence[float | None]) -> float | None:
        return sum(value or 0 for value in values) / len(values) if values else None

    return ClassRow(
        'macro average',
        sum(row.images for row in present),
        Estimate(value=mean([row.precision.value for row in present])),
        Estimate(value=mean([row.recall.value for row in present])),
        mean([row.f1 for row in present]),
    )


def confusions(matrix: Matrix, classes: Sequence[str]) -> list[tuple[str, str, int]]:
    """Label, prediction and number of images of the mistakes, most frequent first."""
    found = [
        (classes[label], classes[prediction], number)
        for label, row in enumerate(matrix)
        for prediction, number in enumerate(row)
        if label != prediction and number
    ]
    return sorted(found, key=lambda each: -each[2])
