"""Pretraining learns, and resumes from its checkpoint."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import RunError
from pretraining import training
from pretraining.collection import make_collection
from pretraining.network import FusedBatchNorm
from pretraining.settings import Counts, Settings
from pretraining.training import Pretraining, pretrain

pytestmark = pytest.mark.slow

COUNTS = Counts(assemblies=4, contours=2, fractals=2, textures=4, figures_each=4, textures_each=4)
SMALL = Settings(size=32, batch=16, steps=6, save_every=3, counts=COUNTS)


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    """`make_run(**settings)`: a pretraining of a network of one convolution."""

    def build_small(size):
        convolution = keras.layers.Conv2D(16, 5, strides=3, activation='relu')
        return keras.Sequential([keras.Input((size, size, 3)), convolution, FusedBatchNorm()])

    monkeypatch.setattr(training, 'build_backbone', build_small)
    collection = make_collection(COUNTS, 0, tmp_path)
    return lambda **changes: Pretraining(dataclasses.replace(SMALL, **changes), collection)


def test_resumed_pretraining_gives_equal_weights(make_run, tmp_path):
    uninterrupted, killed, resumed = (make_run() for _ in range(3))
    pretrain(uninterrupted, tmp_path / 'uninterrupted')
    advance = killed.advance

    def advance_until_killed():
        if int(killed.step) == 4:  # after the checkpoint of step 3
            raise KeyboardInterrupt
        advance()

    killed.advance = advance_until_killed
    with pytest.raises(KeyboardInterrupt):
        pretrain(killed, tmp_path / 'killed')
    for variable in resumed.variables_:
        variable.assign_add(tf.ones_like(variable))  # the checkpoint replaces it
    pretrain(resumed, tmp_path / 'killed')
    for one, other in zip(uninterrupted.variables_, resumed.variables_, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_rejects_damaged_checkpoint(make_run, tmp_path):
    pretrain(make_run(steps=1), tmp_path / 'checkpoint')
    (data,) = (tmp_path / 'checkpoint').glob('*.data-*')
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(RunError, match='is damaged; delete it'):
        pretrain(make_run(steps=1), tmp_path / 'checkpoint')


def test_diverged_pretraining_keeps_the_checkpoint_before(make_run, tmp_path):
    run = make_run(steps=1)
    run.advance = lambda: (run.loss.assign(np.nan), run.step.assign_add(1))
    with pytest.raises(RunError, match='loss is not finite at step 1'):
        pretrain(run, tmp_path / 'checkpoint')
    assert not list(tmp_path.glob('checkpoint/*.data-*'))


def test_accuracy_and_difficulty_rise(make_run):
    run = make_run(steps=100, learning_rate=0.01, foothold=0.2, pace=0.01)
    run.difficulty.assign(0.02)
    run.advance()
    assert float(run.difficulty) == pytest.approx(0.01)  # accuracy is still 0
    for _ in range(99):
        run.advance()
    assert run.accuracies[0] > 0  # some images are classified correctly
    before = float(run.difficulty)
    run.accuracies.assign([1.0, 0.0, 0.0])
    run.advance()
    assert float(run.difficulty) == pytest.approx(before + 0.01)


@pytest.mark.parametrize(('steps', 'peak'), [(1000, 100), (6, 1)])
def test_learning_rate_warms_up_and_decays(steps, peak):
    settings = Settings(steps=steps, learning_rate=1.0, warm_up=0.1)
    rates = [settings.learning_rate_at(step) for step in range(steps)]
    assert rates[0] == pytest.approx(1 / peak)
    assert max(rates) == rates[peak - 1] == pytest.approx(1.0)
    assert rates[-1] < 0.1


def test_fused_batch_norm_equals_that_of_keras():
    images = np.random.default_rng(0).normal(3, 2, (4, 5, 5, 6)).astype(np.float32)
    one, other = FusedBatchNorm(momentum=0.5), keras.layers.BatchNormalization(momentum=0.5)
    np.testing.assert_allclose(one(images, training=True), other(images, training=True), atol=1e-5)
    np.testing.assert_allclose(one.moving_mean, other.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(one.moving_variance, other.moving_variance, rtol=0.02)
