"""Test images that a model is sure of, and wrong."""

import heapq
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from components.evaluation.results import Mistake
from components.evaluation.robustness.heat_map import overlay, thumbnail
from components.evaluation.robustness.split_images import RecordedImage, batches
from components.inference.classifier import Answer, Classifier

_BATCH = 32
_LONGEST_SIDE = 240  # pixels of the pictures


class _Wrong(NamedTuple):
    probability: float
    order: int  # of two that are equal the first is kept; images are never compared
    image: RecordedImage
    answer: Answer


def find_mistakes(
    images: Iterable[RecordedImage],
    classifier: Classifier,
    most: int,
    folder: Path,
    on_images: Callable[[int], None],
) -> list[Mistake]:
    """Asks the model for every image; the mistakes that it is most confident of come first.

    No more images are held than are shown. An answer that is no number is not confident of
    anything.

    Args:
        images: to ask for.
        classifier: the model.
        most: how many mistakes to show.
        folder: of the results; pictures are written to `mistakes/` in it.
        on_images: is told how many more images are done.
    """
    worst: list[_Wrong] = []
    order = itertools.count(0, -1)
    for batch in batches(images, _BATCH):
        answers = classifier.of_images([image.contents for image in batch])
        for image, answer in zip(batch, answers, strict=True):
            if answer.name not in (None, classifier.classes[image.label]):
                heapq.heappush(worst, _Wrong(answer.probability, next(order), image, answer))
                if len(worst) > most:
                    heapq.heappop(worst)
        on_images(len(batch))
    return _show(sorted(worst, reverse=True), classifier, folder)


def _show(worst: list[_Wrong], classifier: Classifier, folder: Path) -> list[Mistake]:
    """Draws each; all of them are explained at once."""
    (folder / 'mistakes').mkdir(parents=True, exist_ok=True)
    explained = bool(worst) and classifier.explains
    heat = classifier.heat_maps([each.image.contents for each in worst]) if explained else ()
    shown = []
    for number, (each, warm) in enumerate(itertools.zip_longest(worst, heat), 1):
        picture = thumbnail(each.image.contents, _LONGEST_SIDE)
        name = f'mistakes/{number:02d}.png'
        picture.save(folder / name)
        explanation = f'mistakes/{number:02d}-explained.png' if explained else None
        if explanation:
            overlay(picture, warm).save(folder / explanation)
        shown.append(_mistake(each, classifier, name, explanation))
    return shown


def _mistake(
    wrong: _Wrong, classifier: Classifier, picture: str, explanation: str | None
) -> Mistake:
    assert wrong.answer.name is not None
    return Mistake(
        filename=wrong.image.filename,
        label=classifier.classes[wrong.image.label],
        answer=wrong.answer.name,
        probability=wrong.probability,
        picture=picture,
        explanation=explanation,
    )
