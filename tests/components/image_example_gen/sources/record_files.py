"""Writes Parquet and TFRecord files of images."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf


def write_parquet(path, names=None, *, rows_in_group=None, **columns):
    """Writes columns; `names` of labels are in the metadata of the library `datasets`."""
    table = pa.table(columns)
    if names:
        features = {each: {'names': [*names], '_type': 'ClassLabel'} for each in columns}
        metadata = {'huggingface': json.dumps({'info': {'features': features}})}
        table = table.replace_schema_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows_in_group)
    return path


def example(**values):
    """A serialized `tf.Example` of bytes, texts, numbers, or lists of them; without None."""
    made = tf.train.Example()
    for name, value in values.items():
        listed = value if isinstance(value, list) else [value]
        listed = [each.encode() if isinstance(each, str) else each for each in listed]
        feature = made.features.feature[name]
        kinds = {int: feature.int64_list, float: feature.float_list}
        kinds.get(type(listed[0]) if listed else bytes, feature.bytes_list).value.extend(
            each for each in listed if each is not None
        )
    return made.SerializeToString()


def write_tfrecord(path, examples, compression=''):
    """Writes a TFRecord file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for each in examples:
            writer.write(each)
    return path


def write_records(source, path, **columns):
    """Writes columns as a file of a source, `parquet` or `tfrecord`."""
    if source == 'parquet':
        return write_parquet(path, **columns)
    rows = zip(*columns.values(), strict=True)
    return write_tfrecord(path, [example(**dict(zip(columns, row, strict=True))) for row in rows])
