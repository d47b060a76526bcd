"""Random flip, rotation and zoom of batches."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.train import AugmentConfig
from trainer.data.augmentation import augment

SEED = tf.constant([1, 2])
IMAGES = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3)).astype('uint8')


def augmented(images, seed=SEED, **config):
    return augment(tf.constant(images), AugmentConfig(**config), seed).numpy()


def test_flip_mirrors_about_half_of_the_images():
    after = augmented(IMAGES, flip=True)
    mirrored = (after == IMAGES[:, :, ::-1]).all((1, 2, 3))
    assert (mirrored | (after == IMAGES).all((1, 2, 3))).all()
    assert 16 < mirrored.sum() < 48


@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
def test_preserves_shape_dtype_and_value_range(dtype):
    after = augmented(IMAGES.astype(dtype), flip=True, rotation=0.5, zoom=0.5)
    assert (after.shape, after.dtype) == (IMAGES.shape, dtype)
    assert 0 <= after.min() < after.max() <= 255


def test_each_image_changes_by_the_seed():
    copies = np.repeat(IMAGES[:1], 8, 0)
    first, second, other = (
        augmented(copies, tf.constant([1, seed]), rotation=0.5) for seed in (2, 2, 3)
    )
    assert len({image.tobytes() for image in first}) == 8
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_rotation_preserves_the_centre_and_zoom_changes_areas():
    dot, square = np.zeros((8, 33, 33, 3), 'float32'), np.zeros((64, 64, 64, 3), 'float32')
    dot[:, 16, 16] = 255
    assert (augmented(dot, flip=True, rotation=0.5)[:, 16, 16, 0] > 250).all()
    square[:, 24:40, 24:40] = 1
    areas = augmented(square, zoom=0.5)[..., 0].sum((1, 2))
    assert areas.min() < 200
    assert areas.max() > 400
