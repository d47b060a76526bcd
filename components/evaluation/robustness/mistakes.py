"""The most confident mistakes on the test split, with Grad-CAM overlays."""

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from components.evaluation.results import Mistake
from components.evaluation.robustness.heat_map import overlay, thumbnail
from components.evaluation.robustness.split_images import RecordedImage, batches
from components.inference.classifier import Classifier, PredictedClass

_BATCH = 32
_LONGEST_SIDE = 240  # pixels


class _Wrong(NamedTuple):
    probability: float
    order: int  # breaks ties: the first is kept, images are never compared
    image: RecordedImage
    prediction: PredictedClass


def find_mistakes(
    images: Iterable[RecordedImage],
    classifier: Classifier,
    most: int,
    folder: Path,
    on_images: Callable[[int], None],
) -> list[Mistake]:
    """Finds the most confident mistakes, sorted by confidence.

    Keeps at most `most` images in memory. Ignores NaN predictions.

    Args:
        images: the test split.
        classifier: the model.
        most: maximum number of mistakes.
        folder: folder of the results; PNGs are written to its subfolder `mistakes`.
        on_images: progress callback, called with the number of further images.
    """
    worst: list[_Wrong] = []
    order = itertools.count(0, -1)
    for batch in batches(images, _BATCH):
        predictions = classifier.of_images([image.contents for image in batch])
        for image, prediction in zip(batch, predictions, strict=True):
            if prediction.name not in (None, classifier.classes[image.label]):
                wrong = _Wrong(prediction.probability, next(order), image, prediction)
                heapq.heappush(worst, wrong)
                if len(worst) > most:
                    heapq.heappop(worst)
        on_images(len(batch))
    return list(_draw(sorted(worst, reverse=True), classifier, folder))


def _draw(worst: list[_Wrong], classifier: Classifier, folder: Path) -> Iterator[Mistake]:
    (folder / 'mistakes').mkdir(parents=True, exist_ok=True)
    explained = bool(worst) and classifier.explains
    heat_maps = classifier.heat_maps([each.image.contents for each in worst]) if explained else ()
    for number, (wrong, heat) in enumerate(itertools.zip_longest(worst, heat_maps), 1):
        picture = thumbnail(wrong.image.contents, _LONGEST_SIDE)
        name = f'mistakes/{number:02d}.png'
        picture.save(folder / name)
        explanation = f'mistakes/{number:02d}-explained.png' if explained else None
        if explanation:
            overlay(picture, heat).save(folder / explanation)
        yield Mistake(
            filename=wrong.image.filename,
            label=classifier.classes[wrong.image.label],
            answer=wrong.prediction.name,
            probability=wrong.probability,
            picture=name,
            explanation=explanation,
        )
