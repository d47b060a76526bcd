"""Reads the records of TFRecord files in an order that depends on the images alone."""

import dataclasses
import gzip
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import features

_HEAD, _TAIL = 12, 4  # bytes around a payload: its length and a checksum, and its own checksum
_BATCH = 32  # records per call of `read` for a stream of single records


@dataclasses.dataclass(frozen=True)
class RecordFiles:
    """The records of a split, `tf.Example`s, ordered by the digests of their images.

    Any order of a source gives this order, in which the classes are mixed.
    """

    files: tuple[Path, ...]  # uncompressed
    numbers: np.ndarray  # the file of each record, int64 [count]
    offsets: np.ndarray  # of its payload in the file, int64 [count]
    lengths: np.ndarray  # bytes of its payload, int64 [count]
    labels: np.ndarray  # int64 [count]
    copies: tempfile.TemporaryDirectory[str] | None  # holds decompressed files

    def dataset(self) -> tf.data.Dataset:
        """Returns the payloads; memory does not depend on their number."""
        count = math.ceil(len(self.labels) / _BATCH)
        return self.batches(tf.data.Dataset.range(count), _BATCH).unbatch()

    def batches(self, numbers: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        """Returns payloads, string [batch], of the batches with these numbers, int64 scalars."""

        @tf.autograph.experimental.do_not_convert
        def read(number: tf.Tensor) -> tf.Tensor:
            start = number * batch_size
            indices = tf.range(start, tf.minimum(start + batch_size, len(self.labels)))
            return tf.ensure_shape(tf.numpy_function(self.read, [indices], tf.string), [None])

        return numbers.map(read, num_parallel_calls=tf.data.AUTOTUNE)

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Reads payloads, bytes [n], by their places in the order, int64 [n]."""
        payloads = np.empty(len(indices), object)
        for position, index in enumerate(indices):
            with self.files[self.numbers[index]].open('rb', buffering=0) as file:
                file.seek(self.offsets[index])
                payloads[position] = file.read(self.lengths[index])
        return payloads


def open_records(files: Sequence[Path], label: Any) -> RecordFiles:
    """Reads all records once, with their checksums; `label` is the feature spec of the label.

    Gzipped files, which the standard ExampleGens write, are decompressed into a temporary folder.
    """
    copies = None
    if any(file.suffix == '.gz' for file in files):
        copies = tempfile.TemporaryDirectory(prefix='records-')
        files = [_decompress(file, Path(copies.name, f'{n}')) for n, file in enumerate(files)]
    tables = [_measure(file, label) for file in files]
    numbers = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    offsets = [np.cumsum(table[:, 0] + _HEAD + _TAIL) - table[:, 0] - _TAIL for table in tables]
    lengths, labels, digests = np.concatenate([np.empty((0, 3), np.int64), *tables]).T
    order = np.lexsort((labels, digests))
    places = numbers[order], np.concatenate([[], *offsets]).astype(np.int64)[order], lengths[order]
    return RecordFiles(tuple(files), *places, labels[order], copies)


def _decompress(source: Path, target: Path) -> Path:
    with gzip.open(source) as stream, target.open('wb') as file:
        shutil.copyfileobj(stream, file)
    return target


def _measure(file: Path, label: Any) -> np.ndarray:
    """Returns length, label and digest of the image of each record, int64 [count, 3]."""
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
    return np.concatenate([np.empty((0, 3), np.int64), *tables])
