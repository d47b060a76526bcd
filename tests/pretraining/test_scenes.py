"""Scenes composed of figures and textures at a given difficulty."""

import numpy as np
import pytest
import tensorflow as tf

from pretraining import textures, tones
from pretraining.scenes import Drawings, compose

pytestmark = pytest.mark.slow

SIZE, BATCH = 48, 8


def scenes(difficulty, seed=1):
    """Composes a centred square of one tone on noise textures."""
    figures = np.zeros((BATCH, tones.SIDE, tones.SIDE), np.uint8)
    figures[:, 24:72, 24:72] = 3
    shape = (2, BATCH, textures.SIDE, textures.SIDE)
    noise = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    drawings = Drawings(figures, *noise)
    return compose(drawings, SIZE, tf.constant([seed, 0]), tf.constant(difficulty)).numpy()


@pytest.mark.parametrize('difficulty', [0.0, 0.5, 1.0])
def test_scenes_have_the_input_format_of_the_network(difficulty):
    found = scenes(difficulty)
    assert (found.shape, found.dtype) == ((BATCH, SIZE, SIZE, 3), np.float32)
    assert -1 <= found.min() < found.max() <= 1


def test_easiest_scenes_have_light_centred_figures_on_dark_ground():
    found = scenes(0.0)
    assert found[:, 20:28, 20:28].min() > found[:, :8].max()
    assert np.ptp(found, axis=3).max() < 1e-6  # gray


def test_hardest_scenes_vary_contrast_and_colours():
    many = np.concatenate([scenes(1.0, seed) for seed in range(8)])
    lighter = many[:, 20:28, 20:28].mean(axis=(1, 2, 3)) > many[:, :8].mean(axis=(1, 2, 3))
    assert 0.2 < lighter.mean() < 0.8
    assert np.ptp(many, axis=3).mean() > 0.1  # colours
    assert all(np.abs(many[0] - other).mean() > 0.02 for other in many[1:])
