"""Data augmentation of batches by the layers of Keras."""

from collections.abc import Callable

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
    make = {
        keras.layers.RandomFlip: ({'mode': 'horizontal'} if config.flip else None),
        keras.layers.RandomRotation: _factor(config.rotation),
        keras.layers.RandomZoom: _factor(config.zoom, name='height_factor'),
        keras.layers.RandomTranslation: (
            {'height_factor': config.translation, 'width_factor': config.translation}
            if config.translation
            else None
        ),
        keras.layers.RandomContrast: _factor(config.contrast),
        keras.layers.RandomBrightness: _factor(config.brightness),
        keras.layers.RandAugment: _factor(config.rand_augment),
    }
    layers = [
        kind(**options, seed=seed + number, dtype='float32')
        for number, (kind, options) in enumerate(make.items())
        if options
    ]

    def augment(images: tf.Tensor) -> tf.Tensor:
        shape = images.shape
        images = tf.cast(images, tf.float32)
        for layer in layers:
            images = layer(images, training=True)
        return tf.ensure_shape(tf.clip_by_value(images, 0.0, 255.0), shape)

    return augment


def _factor(value: float, name: str = 'factor') -> dict[str, float] | None:
    return {name: value} if value else None
