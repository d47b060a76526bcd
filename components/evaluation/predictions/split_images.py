"""Reads the images of a split."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from common import features
from components.evaluation.config import CLASS, EDGES, SLICES, SOURCE


class RecordedImage(NamedTuple):
    """Image of a record."""

    contents: bytes  # encoded JPEG or PNG
    label: int
    filename: str  # feature of the record, or empty
    digest: str = ''  # of the original bytes: feature of the record, or empty
    slices: dict[str, str] = {}  # noqa: RUF012  # names by feature of SLICED_BY
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


def batches(images: Iterable[RecordedImage], size: int = 16) -> Iterator[list[RecordedImage]]:
    """Batches of `size` images; the last one may be smaller."""
    iterator = iter(images)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _parse(record: bytes) -> RecordedImage:
    found = tf.train.Example.FromString(record).features.feature

    def text(name: str) -> str:
        value = found[name].bytes_list.value
        return value[0].decode(errors='replace') if value else ''

    def number(name: str) -> float | None:
        values = found[name].float_list.value or found[name].int64_list.value
        return float(values[0]) if values else None

    height, width = number(features.HEIGHT), number(features.WIDTH)
    measures = {
        'brightness': number(features.BRIGHTNESS),
        'sharpness': number(features.SHARPNESS),
        'size': height * width / 1e6 if height and width else None,  # megapixels
        'aspect': number(features.ASPECT),
    }
    slices = {CLASS: text(features.CLASS_NAME), SOURCE: text(features.SOURCE)}
    for name, value in measures.items():
        if value is not None:
            cut = np.array(EDGES[name], np.float32)  # the precision of the records
            slices[name] = SLICES[name][int(np.digitize(np.float32(value), cut))]
    return RecordedImage(
        found[features.IMAGE_BYTES].bytes_list.value[0],
        found[features.LABEL].int64_list.value[0],
        text(features.FILENAME),
        text(features.SHA256),
        {feature: name for feature, name in slices.items() if name},
    )
