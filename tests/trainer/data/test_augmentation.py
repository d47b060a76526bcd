"""Random flip, rotation and zoom of batches."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.train import AugmentConfig
from trainer.data.augmentation import augment

SEED = tf.constant([1, 2])


def images(count=64, size=16):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, size, size, 3)).astype('uint8')


def test_flip_mirrors_about_half_of_the_images():
    before = images()
    after = augment(tf.constant(before), AugmentConfig(flip=True), SEED).numpy()
    mirrored = (after == before[:, :, ::-1]).all((1, 2, 3))
    assert (mirrored | (after == before).all((1, 2, 3))).all()
    assert 16 < mirrored.sum() < 48


def test_result_depends_on_the_seed_only():
    config = AugmentConfig(flip=True, rotation=0.2, zoom=0.2)
    first, second = (augment(tf.constant(images()), config, SEED) for _ in range(2))
    other = augment(tf.constant(images()), config, tf.constant([1, 3]))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_rotates_each_image_of_a_batch_differently():
    copies = tf.constant(np.repeat(images(1, 32), 8, 0))
    rotated = augment(copies, AugmentConfig(rotation=0.5), SEED).numpy()
    assert len({image.tobytes() for image in rotated}) == 8


@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
def test_preserves_shape_dtype_and_value_range(dtype):
    before = tf.constant(images().astype(dtype))
    after = augment(before, AugmentConfig(flip=True, rotation=0.5, zoom=0.5), SEED)
    assert (after.shape, after.dtype) == (before.shape, before.dtype)
    assert after.numpy().min() >= 0
    assert after.numpy().max() <= 255


def test_rotation_preserves_the_centre():
    dot = np.zeros((8, 33, 33, 3), 'float32')
    dot[:, 16, 16] = 255
    rotated = augment(tf.constant(dot), AugmentConfig(flip=True, rotation=0.5), SEED).numpy()
    assert (rotated[:, 16, 16, 0] > 250).all()


def test_zoom_changes_the_area_of_an_object():
    square = np.zeros((64, 64, 64, 3), 'float32')
    square[:, 24:40, 24:40] = 1
    areas = augment(tf.constant(square), AugmentConfig(zoom=0.5), SEED).numpy()[..., 0].sum((1, 2))
    assert areas.min() < 200
    assert areas.max() > 400
