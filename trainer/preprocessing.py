"""Preprocessing of images for training, evaluation and serving."""

from typing import Any

import tensorflow as tf

from common import features


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """`preprocessing_fn` of the Transform component: images of size `image_size`, and labels."""
    encoded = inputs[features.IMAGE_BYTES].values  # sparse, one value per example
    return {
        features.IMAGE_XF: decode_and_resize(encoded, custom_config['image_size']),
        features.LABEL_XF: inputs[features.LABEL],
    }


def decode_and_resize(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes JPEG or PNG bytes, string [batch], to float32 [batch, size, size, 3] in 0..255.

    Values are rounded to integers, so that a uint8 cache is lossless. The aspect ratio is not
    preserved, as in `keras.utils.image_dataset_from_directory`.
    """

    def one_image(contents: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_image(contents, channels=3, expand_animations=False)
        return tf.image.resize(pixels, (size, size))

    images = tf.map_fn(
        one_image, encoded, fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32)
    )
    return tf.round(tf.clip_by_value(images, 0.0, 255.0))
