"""The most confident mistakes on the test split, with Grad-CAM overlays."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from components.evaluation.predictions.prediction_files import PredictedRow
from components.evaluation.predictions.split_images import RecordedImage
from components.evaluation.results import CANDIDATE, Mistake
from components.inference.classifier import Classifier
from components.inference.heat_map import overlay, thumbnail

_LONGEST_SIDE = 240  # pixels


def worst_mistakes(rows: Iterable[PredictedRow], most: int) -> list[PredictedRow]:
    """The most confident mistakes of the candidate, sorted by confidence, without NaN."""
    wrong = (row for row in rows if row.predicted[CANDIDATE] not in (-1, row.label))
    return heapq.nlargest(most, wrong, key=_confidence)


def draw_mistakes(
    rows: Sequence[PredictedRow],
    images: Iterable[RecordedImage],
    classifier: Classifier,
    folder: Path,
) -> tuple[Mistake, ...]:
    """Writes PNGs of mistakes to the subfolder `mistakes`; `images` are theirs, in any order."""
    contents = {image.key: image.contents for image in images}
    return tuple(_draw(rows, [contents[row.key] for row in rows], classifier, folder))


def _draw(
    rows: Sequence[PredictedRow], contents: Sequence[bytes], classifier: Classifier, folder: Path
) -> Iterator[Mistake]:
    (folder / 'mistakes').mkdir(parents=True, exist_ok=True)
    explained = bool(rows) and classifier.explains
    heat_maps = classifier.heat_maps(contents) if explained else ()
    for number, (row, encoded) in enumerate(zip(rows, contents, strict=True)):
        picture = thumbnail(encoded, _LONGEST_SIDE)
        name = f'mistakes/{number + 1:02d}.png'
        picture.save(folder / name)
        explanation = None
        if explained:
            explanation = f'mistakes/{number + 1:02d}-explained.png'
            overlay(picture, heat_maps[number]).save(folder / explanation)
        yield Mistake(
            filename=row.filename,
            label=classifier.classes[row.label],
            answer=classifier.classes[row.predicted[CANDIDATE]],
            probability=_confidence(row),
            picture=name,
            explanation=explanation,
        )


def _confidence(row: PredictedRow) -> float:
    """Probability of the predicted class."""
    probability, predicted = row.probability[CANDIDATE], row.predicted[CANDIDATE]
    if len(probability) == 1:
        return float(probability[0] if predicted else 1 - probability[0])
    return float(probability[predicted])
