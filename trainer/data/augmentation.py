"""Data augmentation of batches by the layers of Keras."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from trainer.config.train import AugmentConfig

Augment = Callable[[tf.Tensor], tf.Tensor]


def make_augment(config: AugmentConfig, seed: int) -> Augment:
    """Returns a function that changes each image of a batch at random.

    Images are [batch, size, size, 3] in 0..255, of any numeric dtype; the result is float32 of the
    same shape and range. Pixels from outside the image are reflected. Equal seeds give equal
    results in the same order of calls.
    """
    shift, layers = config.translation, keras.layers
    choices: tuple[tuple[float, Callable, dict[str, Any]], ...] = (
        (config.flip, layers.RandomFlip, {'mode': 'horizontal'}),
        (config.rotation, layers.RandomRotation, {'factor': config.rotation}),
        (config.zoom, layers.RandomZoom, {'height_factor': config.zoom}),
        (shift, layers.RandomTranslation, {'height_factor': shift, 'width_factor': shift}),
        (config.contrast, layers.RandomContrast, {'factor': config.contrast}),
        (config.brightness, layers.RandomBrightness, {'factor': config.brightness}),
        (config.rand_augment, layers.RandAugment, {'factor': config.rand_augment}),
    )
    chosen = [
        make(**options, seed=seed + number, dtype='float32')
        for number, (wanted, make, options) in enumerate(choices)
        if wanted
    ]

    def augment(images: tf.Tensor) -> tf.Tensor:
        shape = images.shape
        images = tf.cast(images, tf.float32)
        for layer in chosen:
            images = layer(images, training=True)
        return tf.ensure_shape(tf.clip_by_value(images, 0.0, 255.0), shape)

    return augment
