"""The most confident mistakes on the test split, with Grad-CAM overlays, and changed images."""

import heapq
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from components.evaluation.predictions.prediction_files import PredictedRow, sample_of
from components.evaluation.predictions.split_images import RecordedImage
from components.evaluation.results import CANDIDATE, REFERENCE, Robustness, ShownImage
from components.inference.classifier import Classifier
from components.inference.heat_map import overlay, thumbnail

_LONGEST_SIDE = 240  # pixels
_MOST = 12  # of each kind
_PICTURES = 'pictures'


class ShownRows(NamedTuple):
    """Test images that reports show."""

    mistakes: list[PredictedRow]  # most confident first
    worse: list[PredictedRow]  # than with the reference model
    better: list[PredictedRow]

    @classmethod
    def of(cls, rows: Sequence[PredictedRow]) -> 'ShownRows':
        """Chooses the most confident mistakes, and the first changed images by digest."""
        wrong = (row for row in rows if row.predicted[CANDIDATE] not in (-1, row.label))
        mistakes = heapq.nlargest(_MOST, wrong, key=_confidence)
        compared = [row for row in rows if REFERENCE in row.predicted]
        worse, better = (
            [row for row in compared if row.predicted[one] == row.label != row.predicted[other]]
            for one, other in ((REFERENCE, CANDIDATE), (CANDIDATE, REFERENCE))
        )
        return cls(mistakes, sample_of(worse, _MOST), sample_of(better, _MOST))

    @property
    def keys(self) -> list[str]:
        """The keys of the images."""
        return [row.key for rows in self for row in rows]

    def draw(
        self, images: Mapping[str, RecordedImage], classifier: Classifier, folder: Path
    ) -> Robustness:
        """Writes PNGs of the images, which are given by key, to the subfolder `pictures`."""
        (folder / _PICTURES).mkdir(parents=True, exist_ok=True)
        contents = [images[row.key].contents for row in self.mistakes]
        explained = bool(contents) and classifier.explains
        heat_maps = classifier.heat_maps(contents) if explained else [None] * len(contents)

        def draw(row: PredictedRow, heat: np.ndarray | None = None) -> ShownImage:
            return _draw(row, images[row.key].contents, classifier.classes, folder, heat)

        return Robustness(
            mistakes=tuple(map(draw, self.mistakes, heat_maps)),
            worse=tuple(map(draw, self.worse)),
            better=tuple(map(draw, self.better)),
        )


def _draw(
    row: PredictedRow, encoded: bytes, classes: Sequence[str], folder: Path, heat: np.ndarray | None
) -> ShownImage:
    picture, name = thumbnail(encoded, _LONGEST_SIDE), f'{_PICTURES}/{row.key[:16]}'
    picture.save(folder / f'{name}.png')
    explanation = None
    if heat is not None:
        explanation = f'{name}-explained.png'
        overlay(picture, heat).save(folder / explanation)
    labels = (row.predicted.get(model, -1) for model in (CANDIDATE, REFERENCE))
    predicted, before = (None if label < 0 else classes[label] for label in labels)
    return ShownImage(
        filename=row.filename,
        label=classes[row.label],
        predicted=predicted,
        probability=None if predicted is None else _confidence(row),
        before=before,
        picture=f'{name}.png',
        explanation=explanation,
    )


def _confidence(row: PredictedRow) -> float:
    """Probability of the predicted class."""
    return float(row.probability[CANDIDATE][row.predicted[CANDIDATE]])
