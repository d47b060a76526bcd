"""Preprocessing of images for training, evaluation and serving."""

from typing import Any

import tensorflow as tf

from common import features


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """`preprocessing_fn` of the Transform component: decodes and resizes images.

    Args:
        inputs: raw features; `image/encoded` is sparse with one value per example.
        custom_config: `image_size` in pixels.

    Returns:
        `image_xf`, float32 [batch, size, size, 3] with integer values in 0..255, and `label_xf`,
        int64 [batch].
    """
    size = custom_config['image_size']
    return {
        features.IMAGE_XF: decode_and_resize(inputs[features.IMAGE_BYTES].values, size),
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
