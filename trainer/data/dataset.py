"""Reads the records of a split through the transform graph."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from common import features

_SPEC = {
    features.LABEL: tf.io.FixedLenFeature([], tf.int64),
    features.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string),
}


@dataclasses.dataclass(frozen=True)
class ImageSplit:
    """The images of one split, decoded and resized on reading: uint8 [batch, size, size, 3]."""

    tables: Mapping[Path, np.ndarray]  # label and digest of each image, int64 [n, 2], by file
    decode: Callable[[tf.Tensor], tf.Tensor]  # serialised examples, string [batch], to images

    @property
    def labels(self) -> np.ndarray:
        """Labels in order, int64 [count]."""
        return np.concatenate([*self.tables.values()])[:, 0]

    @property
    def count(self) -> int:
        """Number of images."""
        return sum(map(len, self.tables.values()))

    @property
    def key(self) -> str:
        """A hash of all images and labels, in their order."""
        return hashlib.sha256(np.concatenate([*self.tables.values()]).tobytes()).hexdigest()

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Returns images and labels, float32 [batch, 1], once and in order."""

        @tf.autograph.experimental.do_not_convert
        def read(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            labels = tf.io.parse_example(records, _SPEC)[features.LABEL]
            return self.decode(records), tf.cast(labels, tf.float32)[:, tf.newaxis]

        batches = _records(self.tables).batch(batch_size)
        return batches.map(read, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def records(self, count: int) -> list[bytes]:
        """Returns `count` serialised examples at equal distances, or all if there are fewer."""
        chosen = {*np.linspace(0, self.count - 1, min(count, self.count), dtype=int)}
        numbered = enumerate(_records(self.tables).as_numpy_iterator())
        return [record for number, record in numbered if number in chosen]

    def spans(self) -> list['ImageSplit']:
        """Returns the images of each Examples artifact, in the order of the split."""
        spans: dict[Path, dict[Path, np.ndarray]] = {}
        for file, table in self.tables.items():
            spans.setdefault(file.parent, {})[file] = table
        return [dataclasses.replace(self, tables=tables) for tables in spans.values()]


def open_splits(
    patterns: Mapping[str, Sequence[str]], transform: tft.TFTransformOutput
) -> dict[str, ImageSplit]:
    """Opens splits, given glob patterns of TFRecord files by name; reads all records once."""
    decode = _make_decode(transform)
    splits = {}
    for name, globs in patterns.items():
        files = sorted(Path(path) for pattern in globs for path in tf.io.gfile.glob(pattern))
        splits[name] = ImageSplit({file: _read_table(file) for file in files}, decode)
    return splits


def _records(files: Mapping[Path, np.ndarray]) -> tf.data.TFRecordDataset:
    return tf.data.TFRecordDataset([*map(str, files)])


def _read_table(file: Path) -> np.ndarray:
    """Returns label and digest of each image of a file, int64 [n, 2]."""

    @tf.autograph.experimental.do_not_convert
    def read(records: tf.Tensor) -> tf.Tensor:
        example = tf.io.parse_example(records, _SPEC)
        digests = tf.strings.to_hash_bucket_fast(example[features.IMAGE_BYTES], 2**63 - 1)
        return tf.stack([example[features.LABEL], digests], axis=1)

    batches = tf.data.TFRecordDataset(str(file)).batch(64)
    tables = batches.map(read, num_parallel_calls=tf.data.AUTOTUNE).as_numpy_iterator()
    return np.concatenate([np.empty((0, 2), np.int64), *tables])


def _make_decode(transform: tft.TFTransformOutput) -> Callable[[tf.Tensor], tf.Tensor]:
    spec = {features.IMAGE_BYTES: transform.raw_feature_spec()[features.IMAGE_BYTES]}
    transform_layer = transform.transform_features_layer()

    def decode(serialized: tf.Tensor) -> tf.Tensor:
        images = transform_layer(tf.io.parse_example(serialized, spec))[features.IMAGE_XF]
        images = tf.ensure_shape(images, [serialized.shape[0], *images.shape[1:]])
        return tf.cast(images, tf.uint8)

    return decode
