"""Embeds thumbnails in the page as `data:` URLs."""

import base64
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.artifacts import content_of
from common.features import AUGMENTED_VIEWS
from components.evaluation.predictions.split_images import files_of_split, read_images
from components.evaluation.results import Robustness
from components.inference.heat_map import thumbnail
from pipeline.execution.run_artifacts import Results, example_folders, file_of
from pipeline.report.page_data import LabelledSet, PageImages, ReportData

_SAMPLES, _MISTAKES = 12, 12
_SCANNED_RECORDS = 400  # to find samples of all classes
_VIEWS_SIDE = 900
_SIDE, _QUALITY = 180, 72  # longer side in pixels and JPEG quality of a thumbnail: about 6 kB


def page_images(results: Results, data: ReportData) -> PageImages:
    """Thumbnails of training images, augmented views, misclassified and changed images."""
    views = file_of(results, 'Trainer', 'model_run', AUGMENTED_VIEWS)
    folder = content_of(results['RobustnessEvaluator'].outputs['robustness'][0].uri)
    return embedded(folder, data.robustness)._replace(
        samples=tuple(_samples(results, data.evaluation.classes)),
        views=data_uri(views.read_bytes(), _VIEWS_SIDE) if views else None,
    )


def embedded(folder: Path, found: Robustness | LabelledSet) -> PageImages:
    """The pictures of mistakes and changed images in a folder."""

    def picture(name: str) -> str:
        return data_uri((folder / name).read_bytes())

    return PageImages(
        mistakes=tuple(
            (each, picture(each.picture), each.explanation and picture(each.explanation))
            for each in found.mistakes[:_MISTAKES]
        ),
        worse=tuple((each, picture(each.picture)) for each in found.worse),
        better=tuple((each, picture(each.picture)) for each in found.better),
    )


def data_uri(contents: bytes, side: int = _SIDE) -> str:
    """A JPEG thumbnail as a `data:` URL; `side` is its longer side in pixels."""
    buffer = io.BytesIO()
    thumbnail(contents, side).save(buffer, 'JPEG', quality=_QUALITY, optimize=True)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'


def _samples(results: Results, classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Class and thumbnail of training images, equally many per class."""
    files = files_of_split(example_folders(results), 'train')
    images = [*itertools.islice(read_images(files), _SCANNED_RECORDS)]
    most = max(1, _SAMPLES // len(classes))
    for label, name in enumerate(classes[:_SAMPLES]):
        for image in [each for each in images if each.label == label][:most]:
            yield name, data_uri(image.contents)
