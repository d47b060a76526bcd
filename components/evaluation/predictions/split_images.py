"""Reads the images of a split."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from common import features

_Values = dict[str, str | float]


class RecordedImage(NamedTuple):
    """Image of a record."""

    contents: bytes  # encoded JPEG or PNG
    label: int
    filename: str  # feature of the record, or empty
    digest: str = ''  # of the original bytes: feature of the record, or empty
    # Features that slices are made of, as far as the record has them: a text for the class and the
    # source, else a number
    measures: _Values = {}  # noqa: RUF012
    group: int = 0  # identifier in the index (`data.group_by`); 0: none

    @property
    def key(self) -> str:
        """Hexadecimal SHA-256 digest that identifies the image: of the original bytes if known."""
        return self.digest or hashlib.sha256(self.contents).hexdigest()


def read_images(files: Iterable[Path]) -> Iterator[RecordedImage]:
    """Reads the images of TFRecord files, compressed if their names end with `.gz`."""
    for file in files:
        compression = 'GZIP' if file.suffix == '.gz' else ''
        for record in tf.data.TFRecordDataset(str(file), compression).as_numpy_iterator():
            yield _parse(record)


def find_images(files: Iterable[Path], keys: Iterable[str]) -> Iterator[RecordedImage]:
    """Yields the images with some keys, each once, in the order of the files."""
    wanted = set(keys)
    for image in read_images(files) if wanted else ():
        if image.key in wanted:
            wanted.remove(image.key)
            yield image
        if not wanted:
            return


def files_of_split(folders: Iterable[Path], split: str) -> list[Path]:
    """The TFRecord files of a split, in the order of the Examples' folders and by name."""
    return [file for folder in folders for file in sorted((folder / f'Split-{split}').iterdir())]


def batches(images: Iterable[RecordedImage], size: int = 32) -> Iterator[list[RecordedImage]]:
    """Batches of `size` images; the last one may be smaller."""
    iterator = iter(images)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _parse(record: bytes) -> RecordedImage:
    found = tf.train.Example.FromString(record).features.feature

    def text(name: str) -> str:
        value = found[name].bytes_list.value
        return value[0].decode(errors='replace') if value else ''

    measures: _Values = {name: text(name) for name in features.SLICED_TEXTS if text(name)}
    for name in features.SLICED_NUMBERS:
        values = found[name].float_list.value or found[name].int64_list.value
        if values:
            measures[name] = float(values[0])
    return RecordedImage(
        found[features.IMAGE_BYTES].bytes_list.value[0],
        found[features.LABEL].int64_list.value[0],
        text(features.FILENAME),
        text(features.SHA256),
        measures,
    )
