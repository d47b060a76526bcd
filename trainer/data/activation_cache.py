"""Activation cache: tensors on disk as fixed-length records, written once and read in every epoch.

Reads are streamed, so memory use does not depend on the number of images. Activations are stored as
float16, which halves their size, and images as uint8, which is lossless. Records that exceed the
limit of the cache are recomputed in each epoch, in the same order.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer.data.dataset import Batches

_SHUFFLE_BYTES = 128 * 2**20  # maximum size of the shuffle buffer


def record_type(dtype: str, shape: Sequence[int]) -> np.dtype:
    """Returns the type of a record: a tensor, of 'float16' or 'uint8', and its label."""
    return np.dtype([('tensor', dtype, tuple(shape)), ('label', np.float32)])


def serialize(record: np.dtype, tensors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns records [batch], given tensors [batch, ...] and labels, [batch] or [batch, 1]."""
    records = np.empty(len(tensors), record)
    records['tensor'], records['label'] = tensors, labels.ravel()
    return records


def interleave(
    cached: tf.data.Dataset, recomputed: tf.data.Dataset, held: np.ndarray, batch_size: int
) -> tf.data.Dataset:
    """Returns serialised records in the order of their images.

    `held`, bool [batches], selects the source of each batch: single records from `cached`, or
    batches of records, string [batch], from `recomputed`.
    """
    sources = tf.data.Dataset.from_tensor_slices((~held).astype(np.int64))
    batches = [cached.batch(batch_size), recomputed]
    return tf.data.Dataset.choose_from_datasets(batches, sources).unbatch()


@dataclasses.dataclass(frozen=True)
class CachedTensors(Batches):
    """Cached tensors of one split, float32 after decoding. Epochs read one file each, in turn."""

    files: tuple[tf.data.Dataset, ...]  # serialised records, one per image
    labels: np.ndarray
    record: np.dtype  # from `record_type`

    @property
    def are_images(self) -> bool:  # type: ignore[override]
        return self.record['tensor'].base == np.uint8

    @property
    def shuffle_buffer(self) -> int:  # type: ignore[override]
        return _SHUFFLE_BYTES // self.record['tensor'].itemsize

    @tf.autograph.experimental.do_not_convert
    def decode(self, records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        tensor, size = self.record['tensor'], self.record['tensor'].itemsize
        raw = tf.io.decode_raw(records, tf.uint8, little_endian=True)
        raw = tf.ensure_shape(raw, [records.shape[0], self.record.itemsize])
        tensors = raw[:, :size]
        if not self.are_images:
            tensors = tf.bitcast(tf.reshape(tensors, [-1, size // 2, 2]), tf.float16)
        labels = tf.bitcast(raw[:, size:], tf.float32)
        shape = [-1 if records.shape[0] is None else records.shape[0], *tensor.shape]
        return tf.cast(tf.reshape(tensors, shape), tf.float32), tf.reshape(labels, [-1, 1])

    def _records(self, epoch: int = 0) -> tf.data.Dataset:
        return self.files[epoch % len(self.files)]


def cache_files(directory: Path, files: int) -> list[Path]:
    """Returns the paths of the files with the records of a split."""
    return [directory / f'{file}.records' for file in range(files)]


def open_cache(files: Sequence[Path], record: np.dtype) -> tuple[tf.data.Dataset, ...]:
    """Returns the serialised records of each file."""
    return tuple(tf.data.FixedLengthRecordDataset(str(file), record.itemsize) for file in files)


class CacheWriter:
    """Writes the records of a split, to as many files as images have views."""

    def __init__(self, directory: Path, files: int, record: np.dtype) -> None:
        directory.mkdir(exist_ok=True)
        self._paths = cache_files(directory, files)
        self._files = [path.open('wb') for path in self._paths]
        self._record = record

    def append(self, file: int, tensors: np.ndarray, labels: np.ndarray) -> None:
        """Appends tensors [batch, ...] and labels, [batch] or [batch, 1], to a file."""
        self._files[file].write(serialize(self._record, tensors, labels).tobytes())

    def finish(self) -> tuple[tf.data.Dataset, ...]:
        """Closes the files and returns the serialised records of each."""
        for file in self._files:
            file.close()
        return open_cache(self._paths, self._record)
