"""Source for canonical records, which ImageExampleGen wrote."""

import json
from pathlib import Path

from pydantic import AliasPath, BaseModel, Field

from common import features
from common.errors import DataError
from common.features import MANIFEST
from common.files import read_regular
from components.image_example_gen.sources.base.data_config import FeatureNames
from components.image_example_gen.sources.base.image_files import fingerprint
from components.image_example_gen.sources.base.labels import make_labels
from components.image_example_gen.sources.base.reading import convert_os_errors
from components.image_example_gen.sources.tfrecord.record_files import RecordRange, divide
from components.image_example_gen.sources.tfrecord.source import ExampleShard

FILES = 'data_tfrecord-'  # prefix of record files, as in TFX


class _Manifest(BaseModel):
    """The parts of `manifest.json` that this source uses, all optional."""

    classes: tuple[str, ...] | None = Field(None, validation_alias=AliasPath('source', 'classes'))
    counts: dict[str, dict[str, int]] = {}


class CanonicalSource:
    """A folder with `Split-train`, `Split-eval` and `Split-test`, each with files of records.

    Provides classes, counts and fingerprint to runs and schedules; a run imports the records with
    TFX's ImportExampleGen. By default, the classes are those in `manifest.json` of the folder.

    Raises:
        DataError: a split is missing or empty, the manifest counts no images of a class in a split,
            the classes have no names, or a file has no records.
    """

    def __init__(self, path: Path, classes: tuple[str, ...] | None = None) -> None:
        files, manifest = _record_files(path), _read_manifest(path)
        self.fingerprint = fingerprint_of(path)
        # The records contain label numbers: classes can be renamed, but not selected or ordered.
        self._labels = make_labels(path, None, classes or manifest.classes)
        self.classes = self._labels.classes
        self._ranges: list[RecordRange] = []
        for split, split_files in files.items():
            ranges = divide(split_files, path)
            if not ranges:
                raise DataError(f'{path}/Split-{split} has no images: it has no records')
            missing = [name for name, n in manifest.counts.get(split, {}).items() if not n]
            if missing:
                raise DataError(
                    f'{path}/Split-{split} has no images of class {missing[0]!r}; training and '
                    'evaluation need images of every class in every split'
                )
            self._ranges += ranges
        self.count = sum(records.count for records in self._ranges)

    def shards(self) -> list[ExampleShard]:
        names = FeatureNames(filename=features.FILENAME)
        return [ExampleShard(records, '', names, self._labels) for records in self._ranges]


def fingerprint_of(path: Path) -> str:
    """A digest that changes when a record file is added, removed or written."""
    files = [file for split_files in _record_files(path).values() for file in split_files]
    with convert_os_errors():
        return fingerprint(files, path)


def _record_files(path: Path) -> dict[str, list[Path]]:
    """The record files of each split; raises DataError if a split has none."""
    found = {}
    for split in features.SPLITS:
        folder = path / f'Split-{split}'
        with convert_os_errors():
            files = folder.iterdir() if folder.exists() else ()
            found[split] = sorted(file for file in files if file.name.startswith(FILES))
        if not found[split]:
            raise DataError(
                f'{folder} has no record files; give a folder that ImageExampleGen has written, '
                f'with Split-train, Split-eval and Split-test, each with {FILES}*'
            )
    return found


def _read_manifest(path: Path) -> _Manifest:
    """Empty if the folder has no manifest, or another program's."""
    try:
        return _Manifest.model_validate(json.loads(read_regular(path / MANIFEST)))
    except (OSError, ValueError):
        return _Manifest()
