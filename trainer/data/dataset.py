"""Images of one split as a `tf.data.Dataset`, through the transform graph."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from common import features

_SHARDS_AT_ONCE = 4
_PASSES = 60  # divisible by any usual number of views; each takes a hundredth of a second to build
_SHUFFLED_RECORDS = 4096  # encoded images in memory


@dataclasses.dataclass(frozen=True)
class ImageSplit:
    """The images of one split, decoded and resized when they are read.

    Attributes:
        files: TFRecords of raw `tf.Example`s, gzipped or not, as ExampleGen writes them.
        count: number of images.
        decode: serialised examples, string [batch], to images and labels.
        label_spec: how to parse the label alone.
    """

    files: tuple[str, ...]
    count: int
    decode: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    label_spec: dict[str, tf.io.FixedLenFeature]

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """All images once, in order: uint8 [batch, size, size, 3], labels float32 [batch, 1]."""
        batches = self._decoded(self._records().batch(batch_size))
        count = math.ceil(self.count / batch_size)
        return batches.apply(tf.data.experimental.assert_cardinality(count))

    def shuffled_batches(self, batch_size: int, epochs: int, seed: int) -> tf.data.Dataset:
        """`epochs` passes, each in a new order, whole batches only."""
        buffer = max(1, min(self.count, _SHUFFLED_RECORDS))

        def one_pass(epoch: int) -> tf.data.Dataset:
            records = self._records().shuffle(buffer, seed=seed + epoch)
            return records.batch(batch_size, drop_remainder=True)

        return self._decoded(one_after_the_other(one_pass, epochs))

    def records(self, count: int) -> list[bytes]:
        """The first serialised examples, at most `count`."""
        return list(self._records().take(count).as_numpy_iterator())

    def labels(self) -> np.ndarray:
        """Labels in order, [count]; no image is decoded."""
        batches = self._records().batch(1024)
        batches = batches.map(lambda each: tf.io.parse_example(each, self.label_spec))
        return np.concatenate([batch[features.LABEL].numpy().ravel() for batch in batches])

    def _records(self) -> tf.data.Dataset:
        compression = _compression(self.files)
        return tf.data.Dataset.from_tensor_slices(list(self.files)).interleave(
            lambda path: tf.data.TFRecordDataset(path, compression_type=compression),
            cycle_length=_SHARDS_AT_ONCE,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _decoded(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        decoded = batches.map(self.decode, num_parallel_calls=tf.data.AUTOTUNE)
        return decoded.prefetch(tf.data.AUTOTUNE)


def one_after_the_other(one_pass: Callable[[int], tf.data.Dataset], epochs: int) -> tf.data.Dataset:
    """The passes of all epochs as one dataset; each may have an order of its own.

    Of very many epochs only the first are spelt out; repeated, they are shuffled anew.
    """
    passes = map(one_pass, range(min(epochs, _PASSES)))
    return functools.reduce(tf.data.Dataset.concatenate, passes)


def open_splits(
    patterns: Mapping[str, Sequence[str]], transform: tft.TFTransformOutput
) -> dict[str, ImageSplit]:
    """The images of each split, in the files that match its patterns; counts them.

    Args:
        patterns: of TFRecords, by the name of the split.
        transform: the graph that Transform has written.
    """
    decode = _make_decode(transform)
    label_spec = {features.LABEL: transform.raw_feature_spec()[features.LABEL]}
    splits = {}
    for name, wanted in patterns.items():
        files = tuple(sorted(path for pattern in wanted for path in tf.io.gfile.glob(pattern)))
        records = tf.data.TFRecordDataset(list(files), _compression(files))
        count = int(records.reduce(0, lambda count, _: count + 1))
        splits[name] = ImageSplit(files, count, decode, label_spec)
    return splits


def _compression(files: Sequence[str]) -> str:
    """As TensorFlow names it; TFX's own ExampleGens write gzipped files."""
    return 'GZIP' if files and files[0].endswith('.gz') else ''


def _make_decode(
    transform: tft.TFTransformOutput,
) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    wanted = (features.IMAGE_BYTES, features.LABEL)
    raw_spec = {name: transform.raw_feature_spec()[name] for name in wanted}
    transform_layer = transform.transform_features_layer()

    # AutoGraph would convert all of Keras on its way through the layer: eight seconds.
    @tf.autograph.experimental.do_not_convert
    def decode(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        transformed = transform_layer(tf.io.parse_example(serialized, raw_spec))
        images = transformed[features.IMAGE_XF]
        images = tf.ensure_shape(images, [serialized.shape[0], *images.shape[1:]])
        labels = tf.cast(transformed[features.LABEL_XF], tf.float32)
        return tf.cast(images, tf.uint8), tf.reshape(labels, [serialized.shape[0] or -1, 1])

    return decode
