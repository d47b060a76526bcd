"""Data augmentation of batches: random flip, rotation and zoom."""

import math

import tensorflow as tf

from trainer.config.train import AugmentConfig


def augment(images: tf.Tensor, config: AugmentConfig, seed: tf.Tensor) -> tf.Tensor:
    """Flips, rotates and zooms each image at random, with a single interpolation.

    Images are [batch, size, size, 3] of any numeric dtype; shape, dtype and range of values stay.
    Pixels from outside the image are reflected, as in `keras.layers.RandomRotation`. Equal seeds,
    int32 [2], give equal results.
    """
    count = tf.shape(images)[0]
    flip_seed, angle_seed, zoom_seed = tf.unstack(tf.random.split(seed, 3))
    mirror = tf.ones([count])
    if config.flip:
        mirror = tf.where(tf.random.stateless_uniform([count], flip_seed) < 0.5, -1.0, 1.0)
    limit = 2 * math.pi * config.rotation
    angle = tf.random.stateless_uniform([count], angle_seed, -limit, limit)
    scale = 1 + tf.random.stateless_uniform([count], zoom_seed, -config.zoom, config.zoom)
    changed = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=_transforms_about_centre(mirror, angle, scale, images.shape[1]),
        output_shape=images.shape[1:3],
        fill_value=0.0,
        interpolation='BILINEAR',
        fill_mode='REFLECT',
    )
    return tf.ensure_shape(changed, images.shape)


def _transforms_about_centre(
    mirror: tf.Tensor, angle: tf.Tensor, scale: tf.Tensor, size: int
) -> tf.Tensor:
    """Returns the parameters for ImageProjectiveTransformV3, output to input pixels, [batch, 8]."""
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    a, b, c, d = mirror * cos, -mirror * sin, sin, cos
    centre, zero = (size - 1) / 2, tf.zeros_like(angle)
    shift_x, shift_y = centre - (a + b) * centre, centre - (c + d) * centre
    return tf.stack([a, b, shift_x, c, d, shift_y, zero, zero], axis=1)
