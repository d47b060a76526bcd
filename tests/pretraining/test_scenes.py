"""Scenes composed of figures and textures at a given difficulty."""

import numpy as np
import pytest
import tensorflow as tf

from pretraining import textures, tones
from pretraining.scenes import Drawings, compose

SIZE, BATCH = 48, 8


@pytest.fixture
def drawings():
    """A centred square of one tone on noise textures."""
    figures = np.zeros((BATCH, tones.SIDE, tones.SIDE), np.uint8)
    figures[:, 24:72, 24:72] = 3
    noise = np.random.default_rng(0).integers(
        256, size=(2, BATCH, textures.SIDE, textures.SIDE), dtype=np.uint8
    )
    return Drawings(figures, *noise)


def scenes(drawings, difficulty, seed=1):
    return compose(drawings, SIZE, tf.constant([seed, 0]), tf.constant(difficulty)).numpy()


@pytest.mark.parametrize('difficulty', [0.0, 0.5, 1.0])
def test_scenes_have_the_input_format_of_the_network(drawings, difficulty):
    found = scenes(drawings, difficulty)
    assert found.shape == (BATCH, SIZE, SIZE, 3)
    assert found.dtype == np.float32
    assert found.min() >= -1
    assert found.max() <= 1


def test_easiest_scenes_have_light_centred_figures_on_dark_ground(drawings):
    found = scenes(drawings, 0.0)
    inside, outside = found[:, 20:28, 20:28], found[:, :8]
    assert inside.min() > outside.max()
    assert np.ptp(found, axis=3).max() < 1e-6  # gray


def test_hardest_scenes_vary_contrast_and_colours(drawings):
    many = np.concatenate([scenes(drawings, 1.0, seed) for seed in range(8)])
    lighter = many[:, 20:28, 20:28].mean(axis=(1, 2, 3)) > many[:, :8].mean(axis=(1, 2, 3))
    assert 0.2 < lighter.mean() < 0.8
    assert np.ptp(many, axis=3).mean() > 0.1  # colours


def test_batch_depends_on_the_seed(drawings):
    np.testing.assert_array_equal(scenes(drawings, 1.0), scenes(drawings, 1.0))
    assert np.abs(scenes(drawings, 1.0) - scenes(drawings, 1.0, seed=500)).mean() > 0.05


def test_scenes_of_one_batch_differ(drawings):
    found = scenes(drawings, 1.0)
    assert all(np.abs(found[0] - other).mean() > 0.02 for other in found[1:])
