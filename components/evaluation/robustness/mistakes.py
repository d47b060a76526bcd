"""The most confident mistakes on the test split, with Grad-CAM overlays, and changed images."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from components.evaluation.predictions.prediction_files import PredictedRow, sample_of
from components.evaluation.predictions.split_images import RecordedImage
from components.evaluation.results import CANDIDATE, REFERENCE, ChangedImage, Mistake, Robustness
from components.inference.classifier import Classifier
from components.inference.heat_map import overlay, thumbnail

_LONGEST_SIDE = 240  # pixels
_MOST = 12  # of each kind


class ShownRows(NamedTuple):
    """Test images that reports show."""

    mistakes: list[PredictedRow]  # most confident first
    worse: list[PredictedRow]  # than with the reference model
    better: list[PredictedRow]

    @classmethod
    def of(cls, rows: Sequence[PredictedRow]) -> 'ShownRows':
        """Chooses them."""
        worse, better = (changed_rows(rows, better=each, most=_MOST) for each in (False, True))
        return cls(worst_mistakes(rows, _MOST), worse, better)

    @property
    def keys(self) -> list[str]:
        """The keys of the images."""
        return [row.key for rows in self for row in rows]

    def draw(
        self, images: Mapping[str, RecordedImage], classifier: Classifier, folder: Path
    ) -> Robustness:
        """Writes PNGs of the images, which are given by key, to a folder."""
        changes = (draw_changes(each, images, classifier.classes, folder) for each in self[1:])
        worse, better = changes
        mistakes = draw_mistakes(self.mistakes, images, classifier, folder)
        return Robustness(mistakes=mistakes, worse=worse, better=better)


def worst_mistakes(rows: Iterable[PredictedRow], most: int) -> list[PredictedRow]:
    """The most confident mistakes of the candidate, sorted by confidence, without NaN."""
    wrong = (row for row in rows if row.predicted[CANDIDATE] not in (-1, row.label))
    return heapq.nlargest(most, wrong, key=_confidence)


def draw_mistakes(
    rows: Sequence[PredictedRow],
    images: Mapping[str, RecordedImage],
    classifier: Classifier,
    folder: Path,
) -> tuple[Mistake, ...]:
    """Writes PNGs of mistakes, whose images are given by key, to the subfolder `mistakes`."""
    (folder / 'mistakes').mkdir(parents=True, exist_ok=True)
    contents = [images[row.key].contents for row in rows]
    explained = bool(rows) and classifier.explains
    heat_maps = classifier.heat_maps(contents) if explained else [None] * len(rows)
    mistakes = []
    for number, (row, encoded, heat) in enumerate(zip(rows, contents, heat_maps, strict=True), 1):
        picture = thumbnail(encoded, _LONGEST_SIDE)
        name, explanation = f'mistakes/{number:02d}.png', f'mistakes/{number:02d}-explained.png'
        picture.save(folder / name)
        if heat is not None:
            overlay(picture, heat).save(folder / explanation)
        mistake = Mistake(
            filename=row.filename,
            label=classifier.classes[row.label],
            answer=classifier.classes[row.predicted[CANDIDATE]],
            probability=_confidence(row),
            picture=name,
            explanation=None if heat is None else explanation,
        )
        mistakes.append(mistake)
    return tuple(mistakes)


def changed_rows(rows: Iterable[PredictedRow], *, better: bool, most: int) -> list[PredictedRow]:
    """The first images, by digest, that only the candidate or only the reference gets right."""
    right, wrong = (CANDIDATE, REFERENCE) if better else (REFERENCE, CANDIDATE)
    changed = (
        row
        for row in rows
        if REFERENCE in row.predicted and row.predicted[right] == row.label != row.predicted[wrong]
    )
    return sample_of(changed, most)


def draw_changes(
    rows: Sequence[PredictedRow],
    images: Mapping[str, RecordedImage],
    classes: Sequence[str],
    folder: Path,
) -> tuple[ChangedImage, ...]:
    """Writes PNGs of changed images, which are given by key, to the subfolder `changed`."""
    (folder / 'changed').mkdir(parents=True, exist_ok=True)
    changes = []
    for row in rows:
        picture = f'changed/{row.key[:16]}.png'
        thumbnail(images[row.key].contents, _LONGEST_SIDE).save(folder / picture)
        before, after = (
            None if row.predicted[name] < 0 else classes[row.predicted[name]]
            for name in (REFERENCE, CANDIDATE)
        )
        change = ChangedImage(
            filename=row.filename,
            label=classes[row.label],
            before=before,
            after=after,
            picture=picture,
        )
        changes.append(change)
    return tuple(changes)


def _confidence(row: PredictedRow) -> float:
    """Probability of the predicted class."""
    return float(row.probability[CANDIDATE][row.predicted[CANDIDATE]])
