"""Canonical `tf.Example`s, and the TFRecord file of a shard."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from common import features
from components.image_example_gen.inspection.measures import GoodImage
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
    example = tf.train.Example()
    for name, value in values.items():
        feature = example.features.feature[name]
        lists = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
        lists[type(value)].value.append(value)
    return example


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
