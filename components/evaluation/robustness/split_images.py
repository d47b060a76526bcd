"""Reads the images of a split."""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import tensorflow as tf

from common import features

_Item = TypeVar('_Item')


class RecordedImage(NamedTuple):
    """Image of a record.

    Attributes:
        contents: encoded JPEG or PNG.
        label: index into the classes.
        filename: filename feature, or empty.
    """

    contents: bytes
    label: int
    filename: str

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the contents."""
        return hashlib.sha256(self.contents).hexdigest()


@dataclasses.dataclass(frozen=True)
class RecordedImages:
    """Iterable over the images of TFRecord files; each iteration reads the files.

    Attributes:
        files: TFRecord files, compressed if they end with `.gz`.
    """

    files: tuple[Path, ...]

    def __iter__(self) -> Iterator[RecordedImage]:
        for file in self.files:
            compression = 'GZIP' if file.suffix == '.gz' else ''
            for record in tf.data.TFRecordDataset(str(file), compression).as_numpy_iterator():
                yield _image_of(record)


def _image_of(record: bytes) -> RecordedImage:
    found = tf.train.Example.FromString(record).features.feature
    name = found[features.FILENAME].bytes_list.value
    return RecordedImage(
        found[features.IMAGE_BYTES].bytes_list.value[0],
        found[features.LABEL].int64_list.value[0],
        name[0].decode(errors='replace') if name else '',
    )


def batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Batches of `size` items; the last one may be smaller."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
