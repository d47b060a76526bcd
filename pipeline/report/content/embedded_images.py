"""Embeds thumbnails in the page as `data:` URLs."""

import base64
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import PIL.Image
import tensorflow as tf

from common.features import AUGMENTED_VIEWS, CLASS_NAME, IMAGE_BYTES
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


def _samples(results: Results, classes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Class and thumbnail of training images, equally many per class."""
    found: dict[str, list[bytes]] = {name: [] for name in list(classes)[:_SAMPLES]}
    for name, contents in _records(results):
        if name in found and len(found[name]) < _SAMPLES // len(found):
            found[name].append(contents)
    for name, images in found.items():
        for contents in images:
            yield name, data_uri(contents)


def _records(results: Results) -> Iterator[tuple[str, bytes]]:
    """Class and encoded image of the first training records."""
    folders = example_folders(results)
    files = sorted(str(file) for folder in folders for file in folder.glob('Split-train/*'))
    if not files:
        return
    compression = 'GZIP' if files[0].endswith('.gz') else ''
    records = tf.data.TFRecordDataset(files, compression).take(_SCANNED_RECORDS)
    for record in records.as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        name = feature[CLASS_NAME].bytes_list.value[0].decode()
        yield name, feature[IMAGE_BYTES].bytes_list.value[0]
