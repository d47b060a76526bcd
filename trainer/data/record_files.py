"""Reads the records of TFRecord files in an order that depends on the images alone.

`tf.data` reads TFRecords only in the order of the files, which is that of the source: often all
images of one class after those of another.
"""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import features

_HEAD, _TAIL = 12, 4  # bytes around a payload: its length and a checksum, and its own checksum
# Folder and file by number, place and size of the payload in bytes, label, digest of the image.
_RECORD = np.dtype(
    [(name, np.int64) for name in ('folder', 'file', 'offset', 'length', 'label', 'digest')]
)


@dataclasses.dataclass(frozen=True)
class RecordFiles:
    """The records of a split, `tf.Example`s, by folder, and in it by the digests of their images.

    Any order of a source gives this order, in which the classes are mixed.
    """

    files: tuple[Path, ...]
    records: np.ndarray  # _RECORD [count]

    @property
    def labels(self) -> np.ndarray:
        """Labels of the records, int64 [count]."""
        return self.records['label']

    @property
    def key(self) -> str:
        """A hash of all images and labels, in their order."""
        return hashlib.sha256(self.records[['label', 'digest']].tobytes()).hexdigest()

    def by_folder(self) -> list['RecordFiles']:
        """Returns the records of each folder, such as a span."""
        starts = np.flatnonzero(np.diff(self.records['folder'])) + 1
        parts = np.split(self.records, starts)
        return [dataclasses.replace(self, records=part) for part in parts]

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Returns payloads, string [batch], in order; memory does not depend on their number."""
        count = len(self.records)

        @tf.autograph.experimental.do_not_convert
        def read(number: tf.Tensor) -> tf.Tensor:
            start = number * batch_size
            indices = tf.range(start, tf.minimum(start + batch_size, count))
            return tf.ensure_shape(tf.numpy_function(self.read, [indices], tf.string), [None])

        numbers = tf.data.Dataset.range(math.ceil(count / batch_size))
        return numbers.map(read, num_parallel_calls=tf.data.AUTOTUNE)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Reads payloads, bytes [n], by their places in the order, int64 [n]."""
        payloads = np.empty(len(indices), object)
        for position, record in enumerate(self.records[indices]):
            with self.files[record['file']].open('rb', buffering=0) as file:
                file.seek(record['offset'])
                payloads[position] = file.read(record['length'])
        return payloads


def open_records(files: Sequence[Path], label: Any) -> RecordFiles:
    """Reads all records once, with their checksums; `label` is the feature spec of the label."""
    folders = sorted({file.parent for file in files})
    tables = [np.empty(0, _RECORD)]
    for number, file in enumerate(files):
        tables.append(_measure(file, label))
        tables[-1]['folder'], tables[-1]['file'] = folders.index(file.parent), number
    records = np.concatenate(tables)
    order = np.lexsort((records['label'], records['digest'], records['folder']))
    return RecordFiles(tuple(files), records[order])


def _measure(file: Path, label: Any) -> np.ndarray:
    """Returns the records of a file, _RECORD [count], without the numbers of folder and file."""
    spec = {features.LABEL: label, features.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string)}

    @tf.autograph.experimental.do_not_convert
    def measure(payloads: tf.Tensor) -> tf.Tensor:
        example = tf.io.parse_example(payloads, spec)
        labels = tf.reshape(example[features.LABEL], [-1])
        digests = tf.strings.to_hash_bucket_fast(example[features.IMAGE_BYTES], 2**63 - 1)
        lengths = tf.cast(tf.strings.length(payloads), tf.int64)
        return tf.stack([lengths, labels, digests], axis=1)

    batches = tf.data.TFRecordDataset(str(file)).batch(64)
    tables = batches.map(measure, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator()
    lengths, labels, digests = np.concatenate([np.empty((0, 3), np.int64), *tables]).T
    records = np.zeros(len(lengths), _RECORD)
    records['length'], records['label'], records['digest'] = lengths, labels, digests
    records['offset'] = np.cumsum(lengths + _HEAD + _TAIL) - lengths - _TAIL
    return records
