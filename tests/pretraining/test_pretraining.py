"""Pretraining learns, resumes from its checkpoint, and writes weights that Keras loads."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import pretraining.__main__ as command
from pretraining.collection import make_collection
from pretraining.network import FusedBatchNorm, build_backbone
from pretraining.settings import Counts, Settings
from pretraining.training import Pretraining

COUNTS = Counts(assemblies=4, contours=2, fractals=2, textures=4, figures_each=4, textures_each=4)
SMALL = Settings(size=32, batch=16, steps=6, save_every=3, counts=COUNTS)


def make(folder: Path, steps: int = SMALL.steps) -> Result:
    words = ['--steps', str(steps), '--output', str(folder / 'made.weights.h5')]
    return CliRunner().invoke(command.main, [*words, '--workdir', str(folder / 'work')])


@pytest.fixture
def small(monkeypatch):
    """Replaces the settings of the command line with a few steps on a few small scenes."""
    monkeypatch.setattr(command, 'Settings', lambda **given: dataclasses.replace(SMALL, **given))


@pytest.mark.slow
def test_resumed_pretraining_gives_equal_weights(small, tmp_path, monkeypatch):
    for name in ('uninterrupted', 'killed'):
        (tmp_path / name).mkdir()
    assert make(tmp_path / 'uninterrupted').exit_code == 0
    with monkeypatch.context() as patch:
        advance = Pretraining.advance

        def advance_until_killed(run: Pretraining) -> None:
            if int(run.step) == 4:  # after the checkpoint of step 3
                raise KeyboardInterrupt
            advance(run)

        patch.setattr(Pretraining, 'advance', advance_until_killed)
        killed = make(tmp_path / 'killed')
    assert killed.exit_code == 130
    assert 'interrupted; the same command goes on' in killed.stdout
    assert not (tmp_path / 'killed' / 'made.weights.h5').exists()
    assert make(tmp_path / 'killed').exit_code == 0
    initial, uninterrupted, resumed = (
        keras.applications.MobileNetV2((64, 64, 3), 0.35, include_top=False, weights=None)
        for _ in range(3)
    )
    uninterrupted.load_weights(tmp_path / 'uninterrupted' / 'made.weights.h5')
    resumed.load_weights(tmp_path / 'killed' / 'made.weights.h5')
    for before, one, other in zip(
        initial.weights, uninterrupted.weights, resumed.weights, strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-3 if one.ndim > 1 else 1e-5)
        assert not np.array_equal(before, one)


@pytest.mark.slow
def test_rejects_damaged_checkpoint(small, tmp_path):
    assert make(tmp_path, steps=1).exit_code == 0
    (data,) = (tmp_path / 'work' / 'checkpoint').glob('*.data-*')
    data.write_bytes(data.read_bytes()[:1000])
    damaged = make(tmp_path, steps=1)
    assert damaged.exit_code == 1
    assert 'is damaged; delete it to begin anew' in damaged.output


def test_accuracy_and_difficulty_rise(tmp_path):
    settings = dataclasses.replace(SMALL, steps=60, foothold=0.2, pace=0.01)
    run = Pretraining(settings, make_collection(COUNTS, 0, tmp_path))
    run.difficulty.assign(0.02)
    run.advance()
    assert float(run.difficulty) == pytest.approx(0.01)  # accuracy is still 0
    for _ in range(59):
        run.advance()
    assert run.accuracies[0] > 0.2  # of eight classes
    before = float(run.difficulty)
    run.accuracies.assign([1.0, 0.0, 0.0])
    run.advance()
    assert float(run.difficulty) == pytest.approx(before + 0.01)


def test_learning_rate_warms_up_and_decays_to_zero():
    settings = Settings(steps=1000, learning_rate=1.0, warm_up=0.1)
    rates = [settings.learning_rate_at(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(1.0)
    assert np.argmax(rates) in (99, 100)
    assert rates[-1] < 1e-4
    for steps in (1, 6, 125):  # warm-up is a fraction of a step
        short = dataclasses.replace(settings, steps=steps)
        assert max(short.learning_rate_at(step) for step in range(steps)) <= 1.0


def test_fused_batch_norm_equals_that_of_keras():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).normal(3, 2, (4, 5, 5, 6)).astype(np.float32)
    one, other = FusedBatchNorm(momentum=0.5), keras.layers.BatchNormalization(momentum=0.5)
    np.testing.assert_allclose(one(images, training=True), other(images, training=True), atol=1e-5)
    np.testing.assert_allclose(one.moving_mean, other.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(one.moving_variance, other.moving_variance, rtol=0.02)
    one.set_weights(other.get_weights())
    np.testing.assert_allclose(one(images), other(images), atol=1e-6)


def test_residual_blocks_are_initially_the_identity():
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    backbone = build_backbone(32)
    block = keras.Model(
        backbone.input,
        [backbone.get_layer(name).output for name in ('block_1_project_BN', 'block_2_add')],
    )
    before, after = block(images)
    np.testing.assert_array_equal(before, after)


def test_sheet_shows_scenes_from_gray_to_coloured(small, tmp_path):
    words = ['--look', str(tmp_path / 'sheet.png'), '--workdir', str(tmp_path)]
    assert CliRunner().invoke(command.main, words).exit_code == 0
    pixels = np.asarray(Image.open(tmp_path / 'sheet.png'))
    assert pixels.shape == (864, 1152, 3)
    assert np.ptp(pixels[:288], axis=2).max() <= 1
    assert np.ptp(pixels[576:], axis=2).mean() > 20
