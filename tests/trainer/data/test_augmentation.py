"""Augmentation of batches by layers of Keras."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.train import AugmentConfig
from trainer.data.augmentation import make_augment

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3)).astype('uint8')
ALL = {'flip': True, 'rotation': 0.5, 'zoom': 0.5, 'translation': 0.2}
ALL |= {'contrast': 0.5, 'brightness': 0.3, 'rand_augment': 0.5}


def augmented(images, seed=1, **config):
    return make_augment(AugmentConfig(**config), seed)(tf.constant(images)).numpy()


def test_flip_mirrors_images_left_to_right():
    after = augmented(IMAGES, flip=True)
    mirrored = (after == IMAGES[:, :, ::-1]).all((1, 2, 3))
    assert (mirrored | (after == IMAGES).all((1, 2, 3))).all()
    assert 16 < mirrored.sum() < 48


@pytest.mark.parametrize('key', ALL)
def test_each_key_changes_pixels_within_their_range_by_the_seed(key):
    after, again, other = (augmented(IMAGES, seed, **{key: ALL[key]}) for seed in (2, 2, 3))
    assert (after.shape, after.dtype) == (IMAGES.shape, np.float32)
    assert 0 <= after.min() < after.max() <= 255
    assert np.abs(after - IMAGES).max() > 10
    np.testing.assert_array_equal(after, again)
    assert not np.array_equal(after, other)
