"""Activation cache: tensors on disk as fixed-length records, written once and read in every epoch.

Reads are streamed, so memory use does not depend on the number of images. Activations are stored as
float16, which halves their size, and images as uint8, which is lossless.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from trainer.data.dataset import Batches

_SHUFFLE_BYTES = 128 * 2**20  # maximum size of the shuffle buffer
LABEL_BYTES = 4


@dataclasses.dataclass(frozen=True)
class CachedTensors(Batches):
    """Cached tensors and labels of one split; tensors are float32 after decoding.

    The epochs of `shuffled_batches` read one view each, in turn.

    Attributes:
        files: one per view, each with one record per image.
        shape: of one tensor, without the batch dimension.
        dtype: on disk, 'float16' or 'uint8'.
        count: records per file.
    """

    files: tuple[Path, ...]
    shape: tuple[int, ...]
    dtype: str
    count: int

    @property
    def _tensor_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def labels(self) -> np.ndarray:
        record = np.dtype([('tensor', np.uint8, self._tensor_bytes), ('label', np.float32)])
        return np.array(np.memmap(self.files[0], record, mode='r')['label'])

    @tf.autograph.experimental.do_not_convert
    def decode(self, records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        raw = tf.io.decode_raw(records, tf.uint8, little_endian=True)
        raw = tf.ensure_shape(raw, [records.shape[0], self._tensor_bytes + LABEL_BYTES])
        tensors = raw[:, : self._tensor_bytes]
        if self.dtype != 'uint8':
            tensors = tf.bitcast(tf.reshape(tensors, [-1, self._tensor_bytes // 2, 2]), tf.float16)
        labels = tf.bitcast(raw[:, self._tensor_bytes :], tf.float32)
        shape = [-1 if records.shape[0] is None else records.shape[0], *self.shape]
        return tf.cast(tf.reshape(tensors, shape), tf.float32), tf.reshape(labels, [-1, 1])

    def _records(self, epoch: int) -> tf.data.Dataset:
        path = str(self.files[epoch % len(self.files)])
        return tf.data.FixedLengthRecordDataset(path, self._tensor_bytes + LABEL_BYTES)

    def _shuffle_buffer(self) -> int:
        return _SHUFFLE_BYTES // self._tensor_bytes


class CacheWriter:
    """Writes the records of a split, one file per view."""

    def __init__(self, directory: Path, name: str, views: int, dtype: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._paths = tuple(directory / f'{name}-view-{view}.records' for view in range(views))
        self._files = [path.open('wb') for path in self._paths]
        self._dtype = dtype
        self._shape: tuple[int, ...] = ()
        self._counts = [0] * views

    def append(self, view: int, tensors: np.ndarray, labels: np.ndarray) -> None:
        """Appends tensors [batch, ...] and labels, [batch] or [batch, 1], to the file of a view."""
        self._shape = tensors.shape[1:]
        self._counts[view] += len(tensors)
        rows = tensors.astype(self._dtype).reshape(len(tensors), -1).view(np.uint8)
        label_bytes = labels.astype(np.float32).reshape(-1, 1).view(np.uint8)
        self._files[view].write(np.hstack([rows, label_bytes]).tobytes())

    def finish(self) -> CachedTensors:
        """Closes the files and returns the cache for reading."""
        for file in self._files:
            file.close()
        return CachedTensors(self._paths, self._shape, self._dtype, self._counts[0])
