"""Embeds thumbnails in the page as `data:` URLs."""

import base64
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import PIL.Image

from common.features import AUGMENTED_VIEWS
from components.evaluation.predictions.split_images import read_images
from components.evaluation.results import ROBUSTNESS_FILE
from pipeline.execution.run_artifacts import Results, example_folders, file_of
from pipeline.report.content.page_data import PageImages, ReportData

_SAMPLES, _MISTAKES = 12, 12
_SCANNED_RECORDS = 400  # to find samples of all classes
_VIEWS_SIDE = 900
_SIDE, _QUALITY = 180, 72  # longer side in pixels and JPEG quality of a thumbnail: about 6 kB


def page_images(results: Results, data: ReportData) -> PageImages:
    """Thumbnails of training images, augmented views and misclassified images."""
    views = file_of(results, 'Trainer', 'model_run', AUGMENTED_VIEWS)
    robustness = file_of(results, 'RobustnessEvaluator', 'robustness', ROBUSTNESS_FILE)
    mistakes = data.robustness.mistakes[:_MISTAKES] if data.robustness and robustness else ()
    folder = robustness.parent if robustness else Path()
    return PageImages(
        samples=tuple(_samples(results, data.data.classes if data.data else ())),
        views=data_uri(views.read_bytes(), _VIEWS_SIDE) if views else None,
        mistakes=tuple(
            (each, _thumbnail(folder, each.picture), _thumbnail(folder, each.explanation))
            for each in mistakes
        ),
    )


def data_uri(contents: bytes, side: int = _SIDE) -> str:
    """A JPEG thumbnail as a `data:` URL; `side` is its longer side in pixels."""
    buffer = io.BytesIO()
    with PIL.Image.open(io.BytesIO(contents)) as image:
        small = image.convert('RGB')
        small.thumbnail((side, side))
        small.save(buffer, 'JPEG', quality=_QUALITY, optimize=True)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'


def _thumbnail(folder: Path, name: str | None) -> str | None:
    file = folder / name if name else None
    return data_uri(file.read_bytes()) if file and file.is_file() else None


def _samples(results: Results, classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Class and thumbnail of training images, equally many per class."""
    found: dict[str, list[bytes]] = {name: [] for name in classes[:_SAMPLES]}
    folders = example_folders(results)
    files = sorted(file for folder in folders for file in folder.glob('Split-train/*'))
    for image in itertools.islice(read_images(files), _SCANNED_RECORDS if found else 0):
        name = classes[image.label]
        if name in found and len(found[name]) < _SAMPLES // len(found):
            found[name].append(image.contents)
    for name, images in found.items():
        for contents in images:
            yield name, data_uri(contents)
