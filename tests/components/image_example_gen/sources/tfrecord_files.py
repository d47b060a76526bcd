"""Writes TFRecord files of `tf.Example`s."""

from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf


def example(**values: bytes | int | float | list[bytes]) -> bytes:
    """A serialized `tf.Example`."""
    made = tf.train.Example()
    for name, value in values.items():
        listed = value if isinstance(value, list) else [value]
        feature = made.features.feature[name]
        kinds = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
        kinds[type(listed[0]) if listed else bytes].value.extend(listed)
    return made.SerializeToString()


def write_tfrecord(path: Path, examples: Iterable[bytes], compression: str = '') -> Path:
    """Writes a TFRecord file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for each in examples:
            writer.write(each)
    return path
