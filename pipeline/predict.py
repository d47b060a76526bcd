"""What a model says of images, one batch after the other."""

import concurrent.futures
import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from components.evaluation.answers import Answer, Classifier
from components.evaluation.overlay import overlay, thumbnail
from components.ingestion.config import CheckConfig
from components.ingestion.inspection import Rejected, examine
from pipeline.given_images import Given

_BATCH, _BATCH_BYTES = 32, 4 * 2**20
_LONGEST_SIDE = 640  # pixels of an explanation
_NO_NUMBER = 'the model gives no number for it'


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What is said of one image.

    Attributes:
        path: where it came from, as it can be printed.
        answer: of the model; None if there is a problem.
        problem: why there is no answer, in one clause.
        explanation: a PNG of what the model looked at, if one was asked for.
    """

    path: str
    answer: Answer | None = None
    problem: str | None = None
    explanation: Path | None = None

    def as_text(self) -> str:
        """Path, class and its probability; where there is an explanation, its path too."""
        assert self.answer
        columns = [self.path, self.answer.name, f'{self.answer.probability:.4f}', self.explanation]
        return '  '.join(str(each) for each in columns if each is not None)

    def as_json(self) -> str:
        """One object on one line."""
        if self.answer is None:
            return json.dumps({'path': self.path, 'error': self.problem})
        said = {'class': self.answer.name, 'probability': round(self.answer.probability, 6)}
        explained = {'explanation': str(self.explanation)} if self.explanation else {}
        return json.dumps({'path': self.path, **said, **explained})


class Explanations:
    """PNGs in a folder, named after the images that they explain."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._taken: set[str] = set()

    def place_for(self, path: str) -> Path:
        """A file for an image; of two images of one name the second gets a number."""
        stem = Path(path.rstrip('/')).stem or 'image'
        names = itertools.chain([stem], (f'{stem}-{number}' for number in itertools.count(2)))
        name = next(each for each in names if each not in self._taken)
        self._taken.add(name)
        return self._folder / f'{name}.png'


def predict(
    given: Iterable[Given], classifier: Classifier, checks: CheckConfig,
    explanations: Explanations | None = None,
) -> Iterator[Prediction]:  # fmt: skip
    """Asks a model for each image that can be used, in the order in which they are given.

    An image is checked as ingestion does it, and the model gets what ingestion would keep of it:
    upright, in RGB, as JPEG or PNG. So a bad one costs no other its answer.

    Args:
        given: the images; only a batch of them is held at a time.
        classifier: the model.
        checks: limits of an image.
        explanations: where to draw what the model looks at; None: nowhere.
    """
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for batch in _batches(given):
            checked = list(pool.map(lambda each: _check(each, checks), batch))
            yield from _answered(batch, checked, classifier, explanations)


def _batches(given: Iterable[Given]) -> Iterator[list[Given]]:
    """Some images at a time, fewer of large ones."""
    batch: list[Given] = []
    size = 0
    for each in given:
        batch.append(each)
        size += len(each.contents)
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _check(given: Given, checks: CheckConfig) -> bytes | str:
    """What the model is to see of an image, or what is wrong with it."""
    if given.problem:
        return given.problem
    try:
        return examine(given.contents, checks).contents
    except Rejected as error:
        return str(error)


def _answered(
    batch: list[Given], checked: list[bytes | str], classifier: Classifier,
    explanations: Explanations | None,
) -> Iterator[Prediction]:  # fmt: skip
    good = [each for each in checked if isinstance(each, bytes)]
    answers = iter(classifier.of_images(good) if good else ())
    heat = iter(classifier.heat_maps(good) if good and explanations else ())
    for given, contents in zip(batch, checked, strict=True):
        if isinstance(contents, str):
            yield Prediction(given.path, problem=contents)
            continue
        answer, warm = next(answers), next(heat, None)
        if answer.name is None:
            yield Prediction(given.path, problem=_NO_NUMBER)
            continue
        file = explanations.place_for(given.path) if explanations else None
        if file:
            overlay(thumbnail(contents, _LONGEST_SIDE), warm).save(file)
        yield Prediction(given.path, answer, explanation=file)
