"""Predicts the classes of images in batches, with optional Grad-CAM overlays."""

import csv
import dataclasses
import errno
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from common.console import one_line
from components.evaluation.robustness.heat_map import overlay, thumbnail
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import batches, examine_all
from components.image_example_gen.inspection.measures import GoodImage
from components.image_example_gen.sources.base.listing import error_text
from components.inference.classifier import Classifier, PredictedClass
from pipeline.prediction.input_images import InputImage

_LONGEST_SIDE = 640  # pixels of an overlay
_MAX_STEM_BYTES = 200  # of a file name; file systems allow 255


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The prediction for an image; `problem` is the reason if it, or its overlay, is missing."""

    path: str
    predicted: PredictedClass | None = None
    problem: str | None = None
    explanation: Path | None = None

    def as_text(self, classes: Sequence[str], top: int = 1) -> str:
        """Path, the `top` most probable classes, and the path of the overlay, on one line."""
        best = self._by_class(classes)[:top]
        pairs = (f'{name}  {probability:.4f}' for name, probability in best)
        columns = [self.path, *pairs, self.explanation]
        return one_line('  '.join(str(each) for each in columns if each is not None))

    def as_json(self, classes: Sequence[str], model: str) -> str:
        """A JSON object on one line, with the name of the model and all probabilities."""
        values = {
            'path': self.path,
            'class': self.predicted and self.predicted.name,
            'probability': self.predicted and round(self.predicted.probability, 6),
            'probabilities': {name: round(each, 6) for name, each in self._by_class(classes)},
            'model': self.predicted and model,
            'explanation': self.explanation and str(self.explanation),
            'error': self.problem,
        }
        return json.dumps({key: value for key, value in values.items() if value not in (None, {})})

    def as_csv(self, classes: Sequence[str]) -> str:
        """A row as in `csv_header`, without a line break."""
        found, probabilities = self.predicted, dict(self._by_class(classes))
        shown = [f'{probabilities[name]:.6f}' if found else '' for name in classes]
        best = [found.name or '', f'{found.probability:.6f}'] if found else ['', '']
        return _csv_row([self.path, *best, *shown, str(self.explanation or ''), self.problem or ''])

    def _by_class(self, classes: Sequence[str]) -> list[tuple[str, float]]:
        """Pairs of class and probability, the predicted class first, then by probability."""
        if self.predicted is None:
            return []
        predicted, _, probabilities = self.predicted
        pairs = zip(classes, probabilities, strict=True)
        return sorted(pairs, key=lambda pair: (pair[0] != predicted, -pair[1]))


def csv_header(classes: Sequence[str]) -> str:
    """Names of the columns of `Prediction.as_csv`; those of probabilities begin with `p_`."""
    named = [f'p_{name}' for name in classes]
    return _csv_row(['path', 'class', 'probability', *named, 'explanation', 'error'])


def _csv_row(values: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator='').writerow(map(one_line, values))
    return text.getvalue()


class OverlayFolder:
    """Writes Grad-CAM overlays as `NAME.overlay.png`, and replaces those of earlier calls.

    Raises OSError if the folder cannot be created or written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        self._folder = folder
        self._taken: set[str] = set()

    def write(self, path: str, contents: bytes, heat: np.ndarray) -> Path:
        """Writes the overlay of an image; a second image of the same name gets a number."""
        stem = Path(path.rstrip('/')).stem.encode()[:_MAX_STEM_BYTES].decode(errors='ignore')
        stem = stem or 'image'
        names = itertools.chain([stem], (f'{stem}-{number}' for number in itertools.count(2)))
        name = next(each for each in names if each not in self._taken)
        self._taken.add(name)
        file = self._folder / f'{name}.overlay.png'
        overlay(thumbnail(contents, _LONGEST_SIDE), heat).save(file)
        return file


def predict(
    images: Iterable[InputImage],
    classifier: Classifier,
    checks: CheckConfig,
    overlays: OverlayFolder | None = None,
) -> Iterator[Prediction]:
    """Predicts the class of each image, in the order of the input.

    Each image is checked and converted as at ingestion: upright, RGB, JPEG or PNG. An unusable
    image does not affect the other images of its batch. Few images are in memory at a time.
    """
    for batch in batches(_check(images, checks), lambda each: len(each.contents)):
        yield from _predict_batch(batch, classifier, overlays)


def _check(images: Iterable[InputImage], checks: CheckConfig) -> Iterator[InputImage]:
    contents = ((each, None if each.problem else each.contents) for each in images)
    for image, outcome in examine_all(contents, checks):
        if isinstance(outcome, GoodImage):
            yield image._replace(contents=outcome.contents)
        else:
            yield InputImage(image.path, problem=image.problem or str(outcome))


def _predict_batch(
    batch: list[InputImage], classifier: Classifier, overlays: OverlayFolder | None
) -> Iterator[Prediction]:
    usable = [each.contents for each in batch if not each.problem]
    predicted = iter(classifier.of_images(usable) if usable else ())
    heat_maps = iter(classifier.heat_maps(usable) if usable and overlays else ())
    for each in batch:
        if each.problem:
            yield Prediction(each.path, problem=each.problem)
            continue
        prediction, heat = next(predicted), next(heat_maps, None)
        if prediction.name is None:
            yield Prediction(each.path, problem='the model predicts NaN')
            continue
        file, problem = None, None
        try:
            if overlays and heat is not None:
                file = overlays.write(each.path, each.contents, heat)
        except OSError as error:
            problem = f'the overlay cannot be written: {error_text(error)}'
        yield Prediction(each.path, prediction, problem, file)
