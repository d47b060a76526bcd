"""Reads the images of a split."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from common import features

_BATCH = 32


class RecordedImage(NamedTuple):
    """Image of a record."""

    contents: bytes  # encoded JPEG or PNG
    label: int
    filename: str  # feature of the record, or empty

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the contents."""
        return hashlib.sha256(self.contents).hexdigest()


def read_images(files: Iterable[Path]) -> Iterator[RecordedImage]:
    """Reads the images of TFRecord files, compressed if their names end with `.gz`."""
    for file in files:
        compression = 'GZIP' if file.suffix == '.gz' else ''
        for record in tf.data.TFRecordDataset(str(file), compression).as_numpy_iterator():
            found = tf.train.Example.FromString(record).features.feature
            name = found[features.FILENAME].bytes_list.value
            yield RecordedImage(
                found[features.IMAGE_BYTES].bytes_list.value[0],
                found[features.LABEL].int64_list.value[0],
                name[0].decode(errors='replace') if name else '',
            )


def batches(images: Iterable[RecordedImage]) -> Iterator[list[RecordedImage]]:
    """Batches of 32 images; the last one may be smaller."""
    iterator = iter(images)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch
