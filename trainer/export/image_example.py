"""Converts between encoded images and serialised `tf.Example`s."""

import tensorflow as tf

from common import features


def only_image(image: bytes) -> bytes:
    """Serialises an example with `image/encoded` as its only feature."""
    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    feature = tf.train.Features(feature={features.IMAGE_BYTES: value})
    return tf.train.Example(features=feature).SerializeToString()


def image_of(serialised: bytes) -> bytes:
    """Returns the `image/encoded` bytes of a serialised example."""
    example = tf.train.Example.FromString(serialised)
    return example.features.feature[features.IMAGE_BYTES].bytes_list.value[0]
