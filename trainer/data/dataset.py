"""Reads a split as a `tf.data.Dataset` of images, preprocessed with the transform graph."""

import abc
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from common import features

_PARALLEL_FILES = 4
_MAX_PASSES = 60  # divisible by common numbers of views; building one takes about 10 ms
_SHUFFLE_BUFFER = 4096  # encoded images


class Batches(abc.ABC):
    """Tensors and labels of one split, read from records on disk.

    Attributes:
        count: number of images.
        decode: maps serialised records, string [batch], to tensors and labels.
    """

    count: int
    decode: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Returns tensors [batch, ...] and labels, float32 [batch, 1], once and in order."""
        batches = self._decoded(self._records(epoch=0).batch(batch_size))
        count = math.ceil(self.count / batch_size)
        return batches.apply(tf.data.experimental.assert_cardinality(count))

    def shuffled_batches(self, batch_size: int, epochs: int, seed: int) -> tf.data.Dataset:
        """Returns batches of `epochs` passes, each shuffled differently.

        Drops incomplete batches. Has at most 60 passes: callers repeat it, which reshuffles.
        """
        buffer = max(1, min(self.count, self._shuffle_buffer()))

        def one_pass(epoch: int) -> tf.data.Dataset:
            records = self._records(epoch).shuffle(buffer, seed=seed + epoch)
            return records.batch(batch_size, drop_remainder=True)

        passes = map(one_pass, range(min(epochs, _MAX_PASSES)))
        return self._decoded(functools.reduce(tf.data.Dataset.concatenate, passes))

    @abc.abstractmethod
    def labels(self) -> np.ndarray:
        """Returns the labels in order, [count], without decoding tensors."""

    @abc.abstractmethod
    def _records(self, epoch: int) -> tf.data.Dataset:
        """Returns the serialised records of an epoch, counted from 0."""

    @abc.abstractmethod
    def _shuffle_buffer(self) -> int:
        """Returns the maximum number of records in memory."""

    def _decoded(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        decoded = batches.map(self.decode, num_parallel_calls=tf.data.AUTOTUNE)
        return decoded.prefetch(tf.data.AUTOTUNE)


@dataclasses.dataclass(frozen=True)
class ImageSplit(Batches):
    """The images of one split, decoded and resized on reading: uint8 [batch, size, size, 3].

    Attributes:
        files: TFRecords of raw `tf.Example`s from ExampleGen, uncompressed or gzipped.
        count: number of images.
        decode: maps serialised examples, string [batch], to images and labels.
        label_spec: feature spec of the label.
    """

    files: tuple[str, ...]
    count: int
    decode: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    label_spec: dict[str, tf.io.FixedLenFeature]

    def records(self, count: int) -> list[bytes]:
        """Returns the first `count` serialised examples, or all if there are fewer."""
        return list(self._records().take(count).as_numpy_iterator())

    def labels(self) -> np.ndarray:
        batches = self._records().batch(1024)
        batches = batches.map(lambda each: tf.io.parse_example(each, self.label_spec))
        return np.concatenate([batch[features.LABEL].numpy().ravel() for batch in batches])

    def _records(self, epoch: int = 0) -> tf.data.Dataset:
        compression = _compression(self.files)
        return tf.data.Dataset.from_tensor_slices(list(self.files)).interleave(
            lambda path: tf.data.TFRecordDataset(path, compression_type=compression),
            cycle_length=_PARALLEL_FILES,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _shuffle_buffer(self) -> int:
        return _SHUFFLE_BUFFER


def open_splits(
    patterns: Mapping[str, Sequence[str]], transform: tft.TFTransformOutput
) -> dict[str, ImageSplit]:
    """Opens the splits and counts their images.

    Args:
        patterns: glob patterns of TFRecord files, by split name.
        transform: output of the Transform component.
    """
    decode = _make_decode(transform)
    label_spec = {features.LABEL: transform.raw_feature_spec()[features.LABEL]}
    splits = {}
    for name, globs in patterns.items():
        files = tuple(sorted(path for pattern in globs for path in tf.io.gfile.glob(pattern)))
        records = tf.data.TFRecordDataset(list(files), _compression(files))
        count = int(records.reduce(0, lambda count, _: count + 1))
        splits[name] = ImageSplit(files, count, decode, label_spec)
    return splits


def _compression(files: Sequence[str]) -> str:
    """TensorFlow's name for the compression; the standard ExampleGens write gzipped files."""
    return 'GZIP' if files and files[0].endswith('.gz') else ''


def _make_decode(
    transform: tft.TFTransformOutput,
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    names = (features.IMAGE_BYTES, features.LABEL)
    raw_spec = {name: transform.raw_feature_spec()[name] for name in names}
    transform_layer = transform.transform_features_layer()

    # AutoGraph would convert all of Keras through the layer, which takes eight seconds.
    @tf.autograph.experimental.do_not_convert
    def decode(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        transformed = transform_layer(tf.io.parse_example(serialized, raw_spec))
        images = transformed[features.IMAGE_XF]
        images = tf.ensure_shape(images, [serialized.shape[0], *images.shape[1:]])
        labels = tf.cast(transformed[features.LABEL_XF], tf.float32)
        return tf.cast(images, tf.uint8), tf.reshape(labels, [serialized.shape[0] or -1, 1])

    return decode
