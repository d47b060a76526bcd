"""Reads the images of a split in an order that depends on the images alone.

`tf.data` reads TFRecords only in the order of the files, which is that of the source: often all
images of one class after those of another. Here a record is read by its place in its file.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from common import features
from trainer.data.tensors import Tensors

_HEAD, _TAIL = 12, 4  # bytes around a payload: its length and a checksum, and its own checksum
# Folder and file by number, place and size of the payload in bytes, label, digest of the image.
_RECORD = np.dtype(
    [(name, np.int64) for name in ('folder', 'file', 'offset', 'length', 'label', 'digest')]
)
_SPEC = {
    features.LABEL: tf.io.FixedLenFeature([], tf.int64),
    features.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string),
}


@dataclasses.dataclass(frozen=True)
class ImageSplit:
    """The images of one split, decoded and resized on reading: uint8 [batch, size, size, 3].

    They are sorted by folder (an Examples artifact), and in it by their digests. Any order of a
    source gives this one, in which the classes are mixed.
    """

    files: tuple[Path, ...]
    table: np.ndarray  # _RECORD [count]
    decode: Callable[[tf.Tensor], tf.Tensor]  # serialised examples, string [batch], to images

    @property
    def labels(self) -> np.ndarray:
        """Labels in order, int64 [count]."""
        return self.table['label']

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.table)

    @property
    def key(self) -> str:
        """A hash of all images and labels, in their order."""
        return hashlib.sha256(self.table[['label', 'digest']].tobytes()).hexdigest()

    @property
    def tensors(self) -> Tensors:
        """The images, decoded whenever they are read."""

        def load(places: tf.Tensor) -> tf.Tensor:
            records = tf.numpy_function(self._read, [places], tf.string)
            return self.decode(tf.ensure_shape(records, places.shape))

        return Tensors(self.labels, (load,), are_images=True)

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Returns images and labels, float32 [batch, 1], once and in order."""
        return self.tensors.batches(batch_size)

    def records(self, count: int) -> list[bytes]:
        """Returns `count` serialised examples, chosen by digest, or all if there are fewer."""
        return list(self._read(np.arange(min(count, self.count))))

    def spans(self) -> list['ImageSplit']:
        """Returns the images of each Examples artifact, in the order of the split."""
        starts = np.flatnonzero(np.diff(self.table['folder'])) + 1
        return [dataclasses.replace(self, table=part) for part in np.split(self.table, starts)]

    def _read(self, places: np.ndarray) -> np.ndarray:
        payloads = np.empty(len(places), object)
        for position, record in enumerate(self.table[places]):
            with self.files[record['file']].open('rb', buffering=0) as file:
                file.seek(record['offset'])
                payloads[position] = file.read(record['length'])
        return payloads


def open_splits(
    patterns: Mapping[str, Sequence[str]], transform: tft.TFTransformOutput
) -> dict[str, ImageSplit]:
    """Opens splits, given glob patterns of TFRecord files by name; reads all records once."""
    decode = _make_decode(transform)
    splits = {}
    for name, globs in patterns.items():
        files = sorted(Path(path) for pattern in globs for path in tf.io.gfile.glob(pattern))
        splits[name] = ImageSplit(tuple(files), _sorted_table(files), decode)
    return splits


def _sorted_table(files: Sequence[Path]) -> np.ndarray:
    folders = sorted({file.parent for file in files})
    tables = [np.empty(0, _RECORD)]
    for number, file in enumerate(files):
        tables.append(_measure(file))
        tables[-1]['folder'], tables[-1]['file'] = folders.index(file.parent), number
    table = np.concatenate(tables)
    return table[np.lexsort((table['label'], table['digest'], table['folder']))]


def _measure(file: Path) -> np.ndarray:
    """Returns the records of a file, _RECORD [count], without the numbers of folder and file."""

    @tf.autograph.experimental.do_not_convert
    def measure(payloads: tf.Tensor) -> tf.Tensor:
        example = tf.io.parse_example(payloads, _SPEC)
        digests = tf.strings.to_hash_bucket_fast(example[features.IMAGE_BYTES], 2**63 - 1)
        lengths = tf.cast(tf.strings.length(payloads), tf.int64)
        return tf.stack([lengths, example[features.LABEL], digests], axis=1)

    batches = tf.data.TFRecordDataset(str(file)).batch(64)
    tables = batches.map(measure, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator()
    lengths, labels, digests = np.concatenate([np.empty((0, 3), np.int64), *tables]).T
    table = np.zeros(len(lengths), _RECORD)
    table['length'], table['label'], table['digest'] = lengths, labels, digests
    table['offset'] = np.cumsum(lengths + _HEAD + _TAIL) - lengths - _TAIL
    return table


def _make_decode(transform: tft.TFTransformOutput) -> Callable[[tf.Tensor], tf.Tensor]:
    spec = {features.IMAGE_BYTES: transform.raw_feature_spec()[features.IMAGE_BYTES]}
    transform_layer = transform.transform_features_layer()

    def decode(serialized: tf.Tensor) -> tf.Tensor:
        images = transform_layer(tf.io.parse_example(serialized, spec))[features.IMAGE_XF]
        images = tf.ensure_shape(images, [serialized.shape[0], *images.shape[1:]])
        return tf.cast(images, tf.uint8)

    return decode
