"""Predicts the classes of images in batches, with optional Grad-CAM overlays.

A prediction is a row, the object that `predict --json` prints: `path`, `class`, `confidence` (the
probability of that class), `probabilities` by class and `explanation`, or `path` and `error`.
"""

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from common.console import one_line
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import batches, examine_all
from components.image_example_gen.inspection.measures import GoodImage
from components.image_example_gen.sources.base.listing import error_text
from components.inference.classifier import Classifier, Row
from components.inference.heat_map import overlay, thumbnail
from components.inference.input_images import InputImage

_LONGEST_SIDE = 640  # pixels of an overlay


def as_text(row: Row, top: int = 1) -> str:
    """Path, the `top` most probable classes, and the path of the overlay, on one line."""
    best = itertools.islice(row['probabilities'].items(), top)
    pairs = [f'{name}  {probability:.4f}' for name, probability in best]
    return one_line('  '.join([row['path'], *pairs, *filter(None, [row.get('explanation')])]))


def csv_table(file: TextIO, classes: Sequence[str]) -> 'csv.DictWriter[str]':
    """Writes the header of a table for `csv_values`; probabilities have columns `p_NAME`."""
    probabilities = (one_line(f'p_{name}') for name in classes)
    columns = ['path', 'class', 'confidence', *probabilities, 'explanation', 'error']
    table = csv.DictWriter(file, columns, extrasaction='ignore', lineterminator='\n')
    table.writeheader()
    return table


def csv_values(row: Row) -> dict[str, str]:
    """The values of a row by column, each on one line; `probabilities` is no column."""
    by_class = {f'p_{name}': each for name, each in row.get('probabilities', {}).items()}
    return {one_line(name): one_line(str(each)) for name, each in (row | by_class).items()}


def predict(
    images: Iterable[InputImage],
    classifier: Classifier,
    checks: CheckConfig,
    overlays: Path | None = None,
) -> Iterator[Row]:
    """Predicts the class of each image, in the order of the input.

    Each image is checked and converted as at ingestion: upright, RGB, JPEG or PNG. An unusable
    image does not affect the other images of its batch. Few images are in memory at a time.
    `overlays` is a folder that gets a Grad-CAM overlay of each image, `NAME.overlay.png`; those of
    earlier calls are replaced.
    """
    names: set[str] = set()
    for batch in batches(checked(images, checks), lambda each: len(each.contents)):
        usable = [each.contents for each in batch if not each.problem]
        predicted = iter(classifier.of_images(usable) if usable else ())
        heat_maps = iter(classifier.heat_maps(usable) if usable and overlays else ())
        for each in batch:
            if each.problem:
                yield {'path': each.path, 'error': each.problem}
                continue
            prediction, heat = next(predicted), next(heat_maps, None)
            if prediction['class'] is None:
                yield {'path': each.path, 'error': 'the model predicts NaN'}
                continue
            row = {'path': each.path, **prediction}
            if overlays and heat is not None:
                file = overlays / f'{_new_name(Path(each.path).stem, names)}.overlay.png'
                try:
                    overlay(thumbnail(each.contents, _LONGEST_SIDE), heat).save(file)
                    row['explanation'] = str(file)
                except OSError as error:
                    row['error'] = f'the overlay cannot be written: {error_text(error)}'
            yield row


def _new_name(stem: str, taken: set[str]) -> str:
    """A name that is not taken, which it is from now on; a second image gets a number."""
    numbered = (f'{stem}-{number}' for number in itertools.count(2))
    name = next(each for each in itertools.chain([stem], numbered) if each not in taken)
    taken.add(name)
    return name


def checked(images: Iterable[InputImage], checks: CheckConfig) -> Iterator[InputImage]:
    """Checks and converts images as at ingestion; an unusable one gets a problem."""
    contents = ((each, None if each.problem else each.contents) for each in images)
    for image, outcome in examine_all(contents, checks):
        if isinstance(outcome, GoodImage):
            yield image._replace(contents=outcome.contents)
        else:
            yield InputImage(image.path, problem=image.problem or str(outcome))
