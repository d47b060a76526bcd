"""Data augmentation of batches: random flip, rotation, zoom and mixup."""

import math

import tensorflow as tf

from trainer.config.train import AugmentConfig


def augment(images: tf.Tensor, config: AugmentConfig, seed: tf.Tensor) -> tf.Tensor:
    """Flips, rotates and zooms each image at random, with a single interpolation.

    Args:
        images: [batch, size, size, 3], any numeric dtype; values keep their range.
        config: enabled augmentations and their maxima.
        seed: int32 [2]; equal seeds give equal results.

    Returns:
        Images of the same shape and dtype. Pixels from outside the image are reflected, as in
        `keras.layers.RandomRotation`.
    """
    count = tf.shape(images)[0]
    flip_seed, angle_seed, zoom_seed = tf.unstack(tf.random.split(seed, 3))
    mirror = tf.ones([count])
    if config.flip:
        mirror = tf.where(tf.random.stateless_uniform([count], flip_seed) < 0.5, -1.0, 1.0)
    limit = 2 * math.pi * config.rotation
    angle = tf.random.stateless_uniform([count], angle_seed, -limit, limit)
    scale = 1 + tf.random.stateless_uniform([count], zoom_seed, -config.zoom, config.zoom)
    transforms = _transforms_about_centre(
        mirror, angle, scale, tf.cast(images.shape[1], tf.float32)
    )
    changed = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation='BILINEAR',
        fill_mode='REFLECT',
    )
    return tf.ensure_shape(changed, images.shape)


def _transforms_about_centre(
    mirror: tf.Tensor, angle: tf.Tensor, scale: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
    """Returns the parameters for ImageProjectiveTransformV3, output to input pixels, [batch, 8]."""
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    a, b, c, d = mirror * cos, -mirror * sin, sin, cos
    centre = (size - 1) / 2
    zero = tf.zeros_like(angle)
    shift_x = centre - (a + b) * centre
    shift_y = centre - (c + d) * centre
    return tf.stack([a, b, shift_x, c, d, shift_y, zero, zero], axis=1)


def mix_up(
    inputs: tf.Tensor, labels: tf.Tensor, strength: float, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixup: blends each example and its label with the previous example of the batch.

    Follows Zhang et al., "mixup: Beyond Empirical Risk Minimization" (ICLR 2018); on activations,
    Verma et al., "Manifold Mixup" (ICML 2019).

    Args:
        inputs: float32 [batch, ...], images or activations.
        labels: float32 [batch, 1], or one-hot [batch, classes].
        strength: both parameters of the Beta distribution of the mixing weights.
        seed: int32 [2]; equal seeds give equal mixing weights.
    """
    count = tf.shape(inputs)[0]
    first_seed, second_seed = tf.unstack(tf.random.split(seed, 2))
    first = tf.random.stateless_gamma([count], first_seed, strength)
    second = tf.random.stateless_gamma([count], second_seed, strength)
    weight = tf.math.divide_no_nan(first, first + second)
    weight = tf.maximum(weight, 1 - weight)  # the example itself dominates

    def mixed(tensor: tf.Tensor) -> tf.Tensor:
        own = tf.reshape(weight, [-1] + [1] * (tensor.shape.rank - 1))
        return own * tensor + (1 - own) * tf.roll(tensor, 1, axis=0)

    return mixed(inputs), mixed(labels)
