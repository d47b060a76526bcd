"""Images in records that are canonical already: what ImageExampleGen has written before."""

import json
from pathlib import Path
from typing import Any

from common import features
from common.errors import DataError
from common.features import MANIFEST
from components.image_example_gen.sources.base.config import FeatureNames
from components.image_example_gen.sources.base.image_files import fingerprint
from components.image_example_gen.sources.base.labels import make_labels
from components.image_example_gen.sources.base.source_protocol import IMAGES_PER_SHARD
from components.image_example_gen.sources.tfrecord.record_files import record_ranges
from components.image_example_gen.sources.tfrecord.source import ExampleShard, RecordPart

FILES = 'data_tfrecord-'  # how the files of records begin, as TFX names them


class CanonicalSource:
    """A folder with `Split-train`, `Split-eval` and `Split-test`, each with files of records.

    A run does not read it: TFX's ImportExampleGen does. It tells the classes, the number of images
    and whether these have changed, and lets a schedule look at them.

    Args:
        path: the folder.
        classes: names in the order of the labels; None: as `manifest.json` beside the splits has
            them.

    Raises:
        DataError: a split is missing or empty or, by the manifest, has no image of a class, nobody
            names the classes, or a file holds no records.
    """

    def __init__(self, path: Path, classes: tuple[str, ...] | None = None) -> None:
        files, manifest = record_files(path), _read_manifest(path)
        self.fingerprint = fingerprint_of(path)
        # The labels are in the records: others can be named, but not chosen and ordered.
        self._labels = make_labels(path, None, classes or _named_classes(manifest))
        self.classes = self._labels.classes
        _require_every_class(path, manifest)
        self._parts: list[RecordPart] = []
        for split, those in files.items():
            parts = [
                RecordPart(file, str(file.relative_to(path)), records)
                for file in those
                for records in record_ranges(file, IMAGES_PER_SHARD)
            ]
            if not parts:
                raise DataError(f'{_folder(path, split)} holds no images: there is no record in it')
            self._parts += parts
        self.count = sum(part.records.count for part in self._parts)

    def shards(self) -> list[ExampleShard]:
        names = FeatureNames(filename=features.FILENAME)
        return [ExampleShard(part, names, self._labels) for part in self._parts]


def record_files(path: Path) -> dict[str, list[Path]]:
    """The files of records of each split.

    Raises:
        DataError: a split has none, or a folder cannot be read.
    """
    found = {}
    for split in features.SPLITS:
        folder = _folder(path, split)
        try:
            found[split] = sorted(file for file in folder.iterdir() if file.name.startswith(FILES))
        except FileNotFoundError:
            raise DataError(
                f'{folder} does not exist; give a folder that ImageExampleGen has written, '
                'with Split-train, Split-eval and Split-test'
            ) from None
        except OSError as error:
            raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error
        if not found[split]:
            raise DataError(f'{folder} holds no records; expected {folder}/{FILES}*')
    return found


def fingerprint_of(path: Path) -> str:
    """Changes when a file of records is added, removed or written.

    Raises:
        DataError: a split has none, or a folder cannot be read.
    """
    files = [file for those in record_files(path).values() for file in those]
    try:
        return fingerprint(files, path)
    except OSError as error:
        raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error


def _folder(path: Path, split: str) -> Path:
    return path / f'Split-{split}'


def _read_manifest(path: Path) -> Any:
    """What ImageExampleGen notes beside the splits: classes, and images by split and class."""
    try:
        return json.loads((path / MANIFEST).read_text())
    except (OSError, ValueError):
        return None


def _named_classes(manifest: Any) -> tuple[str, ...] | None:
    try:
        return tuple(map(str, manifest['source']['classes']))
    except (KeyError, TypeError):
        return None


def _require_every_class(path: Path, manifest: Any) -> None:
    counts = manifest.get('counts') if isinstance(manifest, dict) else None
    for split, images in (counts or {}).items():
        for name, number in images.items():
            if not number:
                raise DataError(
                    f'{_folder(path, split)} has no image of class {name!r}; training and judging '
                    'need images of every class in every split'
                )
