"""The most confident mistakes on the test split, with Grad-CAM overlays."""

import heapq
from collections.abc import Iterable, Iterator
from pathlib import Path

from components.evaluation.results import Mistake
from components.evaluation.robustness.heat_map import overlay, thumbnail
from components.evaluation.robustness.split_images import RecordedImage, batches
from components.inference.classifier import Classifier, PredictedClass

_LONGEST_SIDE = 240  # pixels

_Wrong = tuple[RecordedImage, PredictedClass]


def find_mistakes(
    images: Iterable[RecordedImage], classifier: Classifier, most: int, folder: Path
) -> tuple[Mistake, ...]:
    """Finds the most confident mistakes, sorted by confidence. Ignores NaN predictions.

    Keeps a batch and at most `most` images in memory. Writes PNGs to the subfolder `mistakes`.
    """
    worst: list[_Wrong] = []
    for batch in batches(images):
        predictions = classifier.of_images([image.contents for image in batch])
        worst += [
            (image, prediction)
            for image, prediction in zip(batch, predictions, strict=True)
            if prediction.name not in (None, classifier.classes[image.label])
        ]
        worst = heapq.nlargest(most, worst, key=lambda wrong: wrong[1].probability)
    return tuple(_draw(worst, classifier, folder))


def _draw(worst: list[_Wrong], classifier: Classifier, folder: Path) -> Iterator[Mistake]:
    (folder / 'mistakes').mkdir(parents=True, exist_ok=True)
    explained = bool(worst) and classifier.explains
    heat_maps = classifier.heat_maps([image.contents for image, _ in worst]) if explained else ()
    for number, (image, prediction) in enumerate(worst):
        picture = thumbnail(image.contents, _LONGEST_SIDE)
        name = f'mistakes/{number + 1:02d}.png'
        picture.save(folder / name)
        explanation = None
        if explained:
            explanation = f'mistakes/{number + 1:02d}-explained.png'
            overlay(picture, heat_maps[number]).save(folder / explanation)
        yield Mistake(
            filename=image.filename,
            label=classifier.classes[image.label],
            answer=prediction.name,
            probability=prediction.probability,
            picture=name,
            explanation=explanation,
        )
