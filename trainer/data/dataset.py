"""Reads a split as a `tf.data.Dataset` of images, preprocessed with the transform graph."""

import abc
import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from common import features
from trainer.data.record_files import RecordFiles, open_records

MAX_PASSES = 60  # divisible by common numbers of views; building one takes about 10 ms

Decode = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]  # to tensors and labels


class Batches(abc.ABC):
    """Tensors and labels of one split, read from records on disk."""

    labels: np.ndarray  # in order, [count]
    decode: Decode  # from serialised records, string [batch]
    shuffle_buffer: int  # maximum number of records in memory
    are_images: bool  # pixels in 0..255, else activations

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Returns tensors [batch, ...] and labels, float32 [batch, 1], once and in order."""
        batches = self._decoded(self._records().batch(batch_size))
        count = math.ceil(self.count / batch_size)
        return batches.apply(tf.data.experimental.assert_cardinality(count))

    def shuffled_batches(
        self, batch_size: int, epochs: int, seed: int, first: int = 0
    ) -> tf.data.Dataset:
        """Returns batches of the passes from `first` to `epochs`, each shuffled differently.

        Drops incomplete batches. Has at most 60 passes: callers repeat it, which reshuffles.
        """
        buffer = max(1, min(self.count, self.shuffle_buffer))

        def one_pass(epoch: int) -> tf.data.Dataset:
            records = self._records(epoch).shuffle(buffer, seed=seed + epoch)
            return records.batch(batch_size, drop_remainder=True)

        passes = map(one_pass, range(first, min(epochs, MAX_PASSES)))
        return self._decoded(functools.reduce(tf.data.Dataset.concatenate, passes))

    def _decoded(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        decoded = batches.map(self.decode, num_parallel_calls=tf.data.AUTOTUNE)
        return decoded.prefetch(tf.data.AUTOTUNE)

    @abc.abstractmethod
    def _records(self, epoch: int = 0) -> tf.data.Dataset:
        """Returns the serialised records of an epoch, counted from 0."""


@dataclasses.dataclass(frozen=True)
class ImageSplit(Batches):
    """The images of one split, decoded and resized on reading: uint8 [batch, size, size, 3]."""

    record_files: RecordFiles  # of raw `tf.Example`s from ExampleGen
    decode: Decode
    shuffle_buffer: int = 4096
    are_images: bool = True

    @property
    def labels(self) -> np.ndarray:  # type: ignore[override]
        return self.record_files.labels

    def records(self, count: int) -> list[bytes]:
        """Returns `count` serialised examples, chosen by digest, or all if there are fewer."""
        return list(self._records().take(count).as_numpy_iterator())

    def chosen_batches(self, numbers: np.ndarray, batch_size: int) -> tf.data.Dataset:
        """Returns those of `batches(batch_size)` with these numbers, int64 [n]."""
        chosen = tf.data.Dataset.from_tensor_slices(numbers)
        return self._decoded(self.record_files.batches(chosen, batch_size))

    def _records(self, epoch: int = 0) -> tf.data.Dataset:
        return self.record_files.dataset()


def open_splits(
    patterns: Mapping[str, Sequence[str]], transform: tft.TFTransformOutput
) -> dict[str, ImageSplit]:
    """Opens splits, given glob patterns of TFRecord files by name."""
    decode = _make_decode(transform)
    label = transform.raw_feature_spec()[features.LABEL]
    splits = {}
    for name, globs in patterns.items():
        files = sorted(Path(path) for pattern in globs for path in tf.io.gfile.glob(pattern))
        splits[name] = ImageSplit(open_records(files, label), decode)
    return splits


def _make_decode(transform: tft.TFTransformOutput) -> Decode:
    raw_spec = transform.raw_feature_spec()
    spec = {name: raw_spec[name] for name in (features.IMAGE_BYTES, features.LABEL)}
    transform_layer = transform.transform_features_layer()

    # AutoGraph would convert all of Keras through the layer, which takes eight seconds.
    @tf.autograph.experimental.do_not_convert
    def decode(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        transformed = transform_layer(tf.io.parse_example(serialized, spec))
        images = transformed[features.IMAGE_XF]
        images = tf.ensure_shape(images, [serialized.shape[0], *images.shape[1:]])
        labels = tf.cast(transformed[features.LABEL_XF], tf.float32)
        return tf.cast(images, tf.uint8), tf.reshape(labels, [serialized.shape[0] or -1, 1])

    return decode
