"""Pictures that a page holds itself: small, and written as data."""

import base64
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import PIL.Image
import tensorflow as tf

from common.artifacts import folder_of
from common.features import CLASS_NAME, IMAGE_BYTES, PICTURES
from components.evaluation.results import ROBUSTNESS_FILE
from pipeline.execution.launch import NodeResult
from pipeline.report.content.data_facts import examples_of
from pipeline.report.content.page_data import Pictures, ReportData, Shown
from pipeline.report.content.run_artifacts import file_of

_SAMPLES, _MISTAKES = 12, 12
_LOOKED_AT = 400  # records among which samples are sought: one class may come first
_VIEWS, _VIEWS_SIDE = 'augmented_views.png', 900


def pictures_of(results: dict[str, NodeResult], data: ReportData) -> Pictures:
    """Thumbnails of training images and of mistakes."""
    views = file_of(results, 'Trainer', 'model_run', f'{PICTURES}/{_VIEWS}')
    return Pictures(
        samples=tuple(_samples(results, data.data.classes if data.data else ())),
        views=data_uri(views.read_bytes(), _VIEWS_SIDE) if views else None,
        mistakes=tuple(_mistakes(results, data)),
    )


def _samples(results: dict[str, NodeResult], classes: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Training images of the first span, of each class as many as of the others."""
    room = dict.fromkeys(list(classes)[:_SAMPLES], 0)
    room = dict.fromkeys(room, _SAMPLES // max(len(room), 1))
    found: list[tuple[str, bytes]] = []
    for name, contents in _records(results):
        if room.get(name, 0) > 0:
            room[name] -= 1
            found.append((name, contents))
        if not any(room.values()):
            break
    for name, contents in sorted(found, key=lambda each: each[0]):
        yield name, data_uri(contents)


def _records(results: dict[str, NodeResult]) -> Iterator[tuple[str, bytes]]:
    """Class and bytes of some training images."""
    folders = (folder_of(artifact.uri) for artifact in examples_of(results))
    files = sorted(str(file) for folder in folders for file in folder.glob('Split-train/*'))
    if not files:
        return
    compression = 'GZIP' if files[0].endswith('.gz') else ''
    for record in tf.data.TFRecordDataset(files, compression).take(_LOOKED_AT).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        name = feature[CLASS_NAME].bytes_list.value[0].decode()
        yield name, feature[IMAGE_BYTES].bytes_list.value[0]


def _mistakes(results: dict[str, NodeResult], data: ReportData) -> Iterator[Shown]:
    file = file_of(results, 'RobustnessEvaluator', 'robustness', ROBUSTNESS_FILE)
    if file is None or data.robustness is None:
        return
    for each in data.robustness.mistakes[:_MISTAKES]:
        yield Shown(each, _small(file.parent, each.picture), _small(file.parent, each.explanation))


def _small(folder: Path, name: str | None) -> str | None:
    file = folder / name if name else None
    return data_uri(file.read_bytes()) if file and file.is_file() else None


_SIDE, _QUALITY = 180, 72  # pixels of the longer side; of a JPEG: about 6 kB


def data_uri(contents: bytes, side: int = _SIDE) -> str:
    """A picture made small, as a `data:` address."""
    buffer = io.BytesIO()
    with PIL.Image.open(io.BytesIO(contents)) as picture:
        small = picture.convert('RGB')
        small.thumbnail((side, side))
        small.save(buffer, 'JPEG', quality=_QUALITY, optimize=True)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'
