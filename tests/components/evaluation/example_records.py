"""Writes TFRecords of `tf.Example`s, as ImageExampleGen does."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import tensorflow as tf

from common import features

DEFAULTS = {
    features.CLASS_NAME: 'cats',
    features.FILENAME: '',
    features.BRIGHTNESS: 0.5,
    features.SHARPNESS: 6.5,
    features.HEIGHT: 300,
    features.WIDTH: 300,
    features.ASPECT: 1.0,
}


def write_records(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Writes records, given as values by feature; DEFAULTS are added, and None leaves one out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            digest = hashlib.sha256(record[features.IMAGE_BYTES]).hexdigest()
            values = {**DEFAULTS, features.SHA256: digest, **record}
            feature = {name: _feature(value) for name, value in values.items() if value is not None}
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())


def _feature(value: object) -> tf.train.Feature:
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    if isinstance(value, float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
    contents = value.encode() if isinstance(value, str) else value
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[contents]))
