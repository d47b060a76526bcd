"""Canonical `tf.Example`s, and the TFRecord files of a shard."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from common import features
from components.image_example_gen.inspection.examine import GoodImage
from components.image_example_gen.sources.base.source_protocol import LabelledImage


def to_example(
    image: LabelledImage, good: GoodImage, sha256: str, classes: Sequence[str]
) -> tf.train.Example:
    """The canonical `tf.Example` of an image; `sha256` is the digest of the original bytes."""
    values: dict[str, bytes | int | float] = {
        features.IMAGE_BYTES: good.contents,
        features.IMAGE_FORMAT: good.format.encode(),
        features.LABEL: image.label,
        features.CLASS_NAME: classes[image.label].encode(),
        features.FILENAME: image.filename.encode(errors='surrogateescape'),
        features.HEIGHT: good.height,
        features.WIDTH: good.width,
        features.ASPECT: good.width / good.height,
        features.BYTES: len(good.contents),
        features.BRIGHTNESS: good.measures.brightness,
        features.CONTRAST: good.measures.contrast,
        features.SHARPNESS: good.measures.sharpness,
        features.COLOURFULNESS: good.measures.colourfulness,
        features.SHA256: sha256.encode(),
    }
    if image.source:
        values[features.SOURCE] = image.source.encode(errors='surrogateescape')
    named = {name: _feature(value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=named))


def _feature(value: bytes | int | float) -> tf.train.Feature:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def record_files(directory: Path, number: int, shards: int) -> list[Path]:
    """The files of one shard, one per split in the order of SPLITS, in the layout of TFX."""
    name = f'data_tfrecord-{number:05d}-of-{shards:05d}'
    return [directory / f'Split-{split}' / name for split in features.SPLITS]


def read_frames(file: Path) -> Iterator[bytes]:
    """Reads the records of an uncompressed file as they are stored.

    Each has 8 bytes of length, 4 of a checksum, the `tf.Example`, and 4 of a checksum.
    """
    with file.open('rb') as stored:
        while header := stored.read(12):
            yield header + stored.read(int.from_bytes(header[:8], 'little') + 4)


def example_in(frame: bytes) -> bytes:
    """The serialized `tf.Example` of a record."""
    return frame[12:-4]
