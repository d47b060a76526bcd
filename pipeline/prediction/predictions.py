"""What a model says of images, one batch after the other."""

import dataclasses
import errno
import itertools
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.PngImagePlugin

from common.errors import Rejected
from components.evaluation.robustness.heat_map import overlay, thumbnail
from components.image_example_gen.ingestion.parallel_map import batches, parallel_map
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from components.image_example_gen.sources.base.reading import error_text
from components.inference.classifier import Classifier, PredictedClass
from pipeline.prediction.given_images import Given

_LONGEST_SIDE = 640  # pixels of an explanation
_NO_NUMBER = 'the model gives no number for it'
_MARK = 'Explanation'  # a text in the PNGs that are ours
_STEM_BYTES = 200  # of a name; file systems take 255
_BREAKS = ('Cc', 'Zl', 'Zp')  # categories of Unicode: what ends a line, or steers a terminal


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What is said of one image.

    Attributes:
        path: where it came from, as it can be printed.
        answer: of the model; None if it cannot give one.
        problem: why there is no answer or no explanation, in one clause.
        explanation: a PNG of what the model looked at, if one was asked for.
    """

    path: str
    answer: PredictedClass | None = None
    problem: str | None = None
    explanation: Path | None = None

    def as_text(self) -> str:
        """Path, class and its probability; where there is an explanation, its path too."""
        assert self.answer
        columns = [self.path, self.answer.name, f'{self.answer.probability:.4f}', self.explanation]
        return one_line('  '.join(str(each) for each in columns if each is not None))

    def as_json(self) -> str:
        """One object on one line."""
        if self.answer is None:
            return json.dumps({'path': self.path, 'error': self.problem})
        said = {'class': self.answer.name, 'probability': round(self.answer.probability, 6)}
        explained = {'explanation': str(self.explanation)} if self.explanation else {}
        problem = {'error': self.problem} if self.problem else {}
        return json.dumps({'path': self.path, **said, **explained, **problem})


def one_line(text: str) -> str:
    """The same without line breaks and what else terminals obey: names of files hold anything."""
    return ''.join(
        ascii(each)[1:-1] if unicodedata.category(each) in _BREAKS else each for each in text
    )


class Explanations:
    """PNGs in a folder, named after the images that they explain.

    Those of an earlier time are replaced, and no other file: the images may lie in the same folder.

    Raises:
        OSError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        self._folder = folder
        self._taken: set[str] = set()

    def draw(self, path: str, contents: bytes, heat: np.ndarray) -> Path:
        """Writes the explanation of an image, and says where."""
        file = self._place_for(path)
        marked = PIL.PngImagePlugin.PngInfo()
        marked.add_text(_MARK, path.encode(errors='replace').decode())
        overlay(thumbnail(contents, _LONGEST_SIDE), heat).save(file, pnginfo=marked)
        return file

    def _place_for(self, path: str) -> Path:
        """A file for an image; of two images of one name the second gets a number."""
        stem = Path(path.rstrip('/')).stem.encode()[:_STEM_BYTES].decode(errors='ignore') or 'image'
        names = itertools.chain([stem], (f'{stem}-{number}' for number in itertools.count(2)))
        name = next(each for each in names if self._is_free(each))
        self._taken.add(name)
        return self._file(name)

    def _is_free(self, name: str) -> bool:
        return name not in self._taken and _may_be_replaced(self._file(name))

    def _file(self, name: str) -> Path:
        return self._folder / f'{name}.png'


def _may_be_replaced(file: Path) -> bool:
    """Whether there is nothing, or an explanation of an earlier time."""
    try:
        with PIL.Image.open(file) as image:
            return _MARK in image.info
    except FileNotFoundError:
        return not file.is_symlink()
    except (OSError, ValueError):
        return False


def predict(
    given: Iterable[Given],
    classifier: Classifier,
    checks: CheckConfig,
    explanations: Explanations | None = None,
) -> Iterator[Prediction]:
    """Asks a model for each image that can be used, in the order in which they are given.

    An image is checked as ingestion does it, and the model gets what ingestion would keep of it:
    upright, in RGB, as JPEG or PNG. So a bad one costs no other its answer.

    Args:
        given: the images; only a few are held at a time.
        classifier: the model.
        checks: limits of an image.
        explanations: where to draw what the model looks at; None: nowhere.
    """
    for batch in batches(parallel_map(lambda each: _check(each, checks), given)):
        yield from _answered(batch, classifier, explanations)


class _Checked(NamedTuple):
    """An image with what the model is to see of it, or with its problem."""

    path: str
    contents: bytes
    problem: str | None


def _check(given: Given, checks: CheckConfig) -> _Checked:
    if given.problem:
        return _Checked(given.path, b'', given.problem)
    try:
        return _Checked(given.path, examine(given.contents, checks).contents, None)
    except Rejected as error:
        return _Checked(given.path, b'', str(error))


def _answered(
    batch: list[_Checked], classifier: Classifier, explanations: Explanations | None
) -> Iterator[Prediction]:
    good = [each.contents for each in batch if not each.problem]
    answers = iter(classifier.of_images(good) if good else ())
    heat: Iterator[np.ndarray | None] = (
        iter(classifier.heat_maps(good)) if good and explanations else itertools.repeat(None)
    )
    for each in batch:
        if each.problem:
            yield Prediction(each.path, problem=each.problem)
            continue
        answer, warm = next(answers), next(heat)
        if answer.name is None:
            yield Prediction(each.path, problem=_NO_NUMBER)
            continue
        file, problem = None, None
        if explanations and warm is not None:
            try:
                file = explanations.draw(each.path, each.contents, warm)
            except OSError as error:
                problem = f'its explanation cannot be written: {error_text(error)}'
        yield Prediction(each.path, answer, problem, file)
