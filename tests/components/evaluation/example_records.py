"""Writes TFRecords of `tf.Example`s."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import tensorflow as tf


def write_records(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Writes records, given as values by feature; compressed if the path ends with `.gz`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), 'GZIP' if path.suffix == '.gz' else '') as writer:
        for record in records:
            feature = {name: _feature(value) for name, value in record.items()}
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())


def _feature(value: object) -> tf.train.Feature:
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    if isinstance(value, float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    contents = value.encode() if isinstance(value, str) else value
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[contents]))
