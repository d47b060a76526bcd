"""From raw features to the model's input: one function for training, evaluation and serving."""

from typing import Any

import tensorflow as tf

from common import features


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Decodes and resizes images; follows `tfx.v1.components.Transform`.

    Args:
        inputs: raw features; `image/encoded` and `image/class/label` sparse with one value each.
        custom_config: `image_size` in pixels.

    Returns:
        `image_xf`, float32 [batch, size, size, 3] with whole numbers from 0 to 255, and
        `label_xf`, int64 [batch].
    """
    size = custom_config['image_size']
    return {
        features.IMAGE_XF: decode_and_resize(inputs[features.IMAGE_BYTES].values, size),
        features.LABEL_XF: inputs[features.LABEL],
    }


def decode_and_resize(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes JPEG or PNG bytes, string [batch], to float32 [batch, size, size, 3] in 0..255.

    Values are rounded to whole numbers, so that a cache of bytes holds them exactly. Aspect is
    not kept, as in `keras.utils.image_dataset_from_directory`.
    """

    def one_image(contents: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_image(contents, channels=3, expand_animations=False)
        return tf.image.resize(pixels, (size, size))

    images = tf.map_fn(
        one_image, encoded, fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32)
    )
    return tf.round(tf.clip_by_value(images, 0.0, 255.0))
