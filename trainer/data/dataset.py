"""Reads a split as a `tf.data.Dataset` of images, preprocessed with the transform graph."""

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


@dataclasses.dataclass(frozen=True)
class ImageSplit:
    """The images of one split, decoded and resized on reading.

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

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Returns uint8 images [batch, size, size, 3] and float32 labels [batch, 1], in order."""
        batches = self._decoded(self._records().batch(batch_size))
        count = math.ceil(self.count / batch_size)
        return batches.apply(tf.data.experimental.assert_cardinality(count))

    def shuffled_batches(self, batch_size: int, epochs: int, seed: int) -> tf.data.Dataset:
        """Returns `epochs` passes, each shuffled differently; drops incomplete batches."""
        buffer = max(1, min(self.count, _SHUFFLE_BUFFER))

        def one_pass(epoch: int) -> tf.data.Dataset:
            records = self._records().shuffle(buffer, seed=seed + epoch)
            return records.batch(batch_size, drop_remainder=True)

        return self._decoded(concatenate_epochs(one_pass, epochs))

    def records(self, count: int) -> list[bytes]:
        """Returns the first `count` serialised examples, or all if there are fewer."""
        return list(self._records().take(count).as_numpy_iterator())

    def labels(self) -> np.ndarray:
        """Returns the labels in order, [count], without decoding images."""
        batches = self._records().batch(1024)
        batches = batches.map(lambda each: tf.io.parse_example(each, self.label_spec))
        return np.concatenate([batch[features.LABEL].numpy().ravel() for batch in batches])

    def _records(self) -> tf.data.Dataset:
        compression = _compression(self.files)
        return tf.data.Dataset.from_tensor_slices(list(self.files)).interleave(
            lambda path: tf.data.TFRecordDataset(path, compression_type=compression),
            cycle_length=_PARALLEL_FILES,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _decoded(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        decoded = batches.map(self.decode, num_parallel_calls=tf.data.AUTOTUNE)
        return decoded.prefetch(tf.data.AUTOTUNE)


def concatenate_epochs(one_pass: Callable[[int], tf.data.Dataset], epochs: int) -> tf.data.Dataset:
    """Concatenates one dataset per epoch, for at most 60 epochs.

    Callers repeat the result for later epochs; each repetition is reshuffled.

    Args:
        one_pass: makes the dataset of an epoch, counted from 0.
        epochs: number of epochs.
    """
    passes = map(one_pass, range(min(epochs, _MAX_PASSES)))
    return functools.reduce(tf.data.Dataset.concatenate, passes)


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
