"""Reads a split as a `tf.data.Dataset` of images, preprocessed with the transform graph."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from common import features
from trainer.data.record_files import RecordFiles, open_records

Decode = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]  # to tensors and labels


@dataclasses.dataclass(frozen=True)
class ImageSplit:
    """The images of one split, decoded and resized on reading: uint8 [batch, size, size, 3]."""

    record_files: RecordFiles  # of raw `tf.Example`s from ExampleGen
    decode: Decode  # from serialised records, string [batch]

    @property
    def labels(self) -> np.ndarray:
        """Labels in order, int64 [count]."""
        return self.record_files.labels

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)

    def batches(self, batch_size: int) -> tf.data.Dataset:
        """Returns images and labels, float32 [batch, 1], once and in order."""
        records = self.record_files.batches(batch_size)
        decoded = records.map(self.decode, num_parallel_calls=tf.data.AUTOTUNE)
        return decoded.prefetch(tf.data.AUTOTUNE)

    def records(self, count: int) -> list[bytes]:
        """Returns `count` serialised examples, chosen by digest, or all if there are fewer."""
        return list(self.record_files.read(np.arange(min(count, self.count))))

    def spans(self) -> list['ImageSplit']:
        """Returns the images of each Examples artifact, in the order of the split."""
        return [
            dataclasses.replace(self, record_files=each) for each in self.record_files.by_folder()
        ]


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
        return tf.cast(images, tf.uint8), tf.reshape(labels, [-1, 1])

    return decode
