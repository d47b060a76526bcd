"""A `tf.Example` of what the exported model reads of one: the image."""

import tensorflow as tf

from common import features


def only_image(image: bytes) -> bytes:
    """A serialised example of an image, without name, label and measures."""
    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    feature = tf.train.Features(feature={features.IMAGE_BYTES: value})
    return tf.train.Example(features=feature).SerializeToString()


def image_of(serialised: bytes) -> bytes:
    """The bytes of the image of an example."""
    example = tf.train.Example.FromString(serialised)
    return example.features.feature[features.IMAGE_BYTES].bytes_list.value[0]
