"""Reads the images of a split."""

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
    filename: str
    key: str  # hexadecimal SHA-256 digest of the original bytes
    slices: dict[str, str]  # names by feature of SLICED_BY
    group: int = 0  # identifier in the index (`data.group_by`); 0: none


def read_images(files: Iterable[Path]) -> Iterator[RecordedImage]:
    """Reads the images of the records of ImageExampleGen."""
    for file in files:
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
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
        return found[name].bytes_list.value[0].decode(errors='replace')

    def number(name: str) -> float:
        return (found[name].float_list.value or found[name].int64_list.value)[0]

    measures = {
        'brightness': number(features.BRIGHTNESS),
        'sharpness': number(features.SHARPNESS),
        'size': number(features.HEIGHT) * number(features.WIDTH) / 1e6,  # megapixels
        'aspect': number(features.ASPECT),
    }
    slices = {CLASS: text(features.CLASS_NAME)}
    if features.SOURCE in found:
        slices[SOURCE] = text(features.SOURCE)
    for name, value in measures.items():
        cut = np.array(EDGES[name], np.float32)  # the precision of the records
        slices[name] = SLICES[name][int(np.digitize(np.float32(value), cut))]
    return RecordedImage(
        found[features.IMAGE_BYTES].bytes_list.value[0],
        found[features.LABEL].int64_list.value[0],
        text(features.FILENAME),
        text(features.SHA256),
        slices,
    )
