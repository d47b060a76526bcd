"""Pretraining as a whole: it learns, goes on where it was, and leaves weights that fit."""

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
    """What the command line trains: a few steps on a few small scenes."""
    monkeypatch.setattr(command, 'Settings', lambda **given: dataclasses.replace(SMALL, **given))


@pytest.mark.slow
def test_what_was_killed_goes_on_and_what_does_not_fit_is_refused(small, tmp_path, monkeypatch):
    for name in ('whole', 'killed'):
        (tmp_path / name).mkdir()
    assert make(tmp_path / 'whole').exit_code == 0
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
    start, whole, killed_once = (
        keras.applications.MobileNetV2((64, 64, 3), 0.35, include_top=False, weights=None)
        for _ in range(3)
    )
    whole.load_weights(tmp_path / 'whole' / 'made.weights.h5')
    killed_once.load_weights(tmp_path / 'killed' / 'made.weights.h5')
    for first, one, other in zip(start.weights, whole.weights, killed_once.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3 if one.ndim > 1 else 1e-5)
        assert not np.array_equal(first, one)
    refused = make(tmp_path / 'whole', steps=7)
    assert refused.exit_code == 1
    assert 'holds a run of other settings or code; give another --workdir' in refused.output
    (data,) = (tmp_path / 'whole' / 'work' / 'checkpoint').glob('*.data-*')
    data.write_bytes(data.read_bytes()[:1000])
    damaged = make(tmp_path / 'whole')
    assert damaged.exit_code == 1
    assert 'is damaged; delete it to begin anew' in damaged.output


def test_it_learns_to_tell_figures_apart_and_scenes_become_more_difficult(tmp_path):
    settings = dataclasses.replace(SMALL, steps=60, foothold=0.2, pace=0.01)
    run = Pretraining(settings, make_collection(COUNTS, 0, tmp_path))
    run.difficulty.assign(0.02)
    run.advance()
    assert float(run.difficulty) == pytest.approx(0.01)  # nothing is recognised yet
    for _ in range(59):
        run.advance()
    assert run.accuracies[0] > 0.2  # of eight classes
    before = float(run.difficulty)
    run.accuracies.assign([1.0, 0.0, 0.0])
    run.advance()
    assert float(run.difficulty) == pytest.approx(before + 0.01)


def test_the_rate_rises_then_falls_to_nothing():
    settings = Settings(steps=1000, learning_rate=1.0, warm_up=0.1)
    rates = [settings.learning_rate_at(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(1.0)
    assert np.argmax(rates) in (99, 100)
    assert rates[-1] < 1e-4
    for steps in (1, 6, 125):  # shares of them are not whole
        short = dataclasses.replace(settings, steps=steps)
        assert max(short.learning_rate_at(step) for step in range(steps)) <= 1.0


def test_a_batch_norm_in_one_operation_is_that_of_keras():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).normal(3, 2, (4, 5, 5, 6)).astype(np.float32)
    one, other = FusedBatchNorm(momentum=0.5), keras.layers.BatchNormalization(momentum=0.5)
    np.testing.assert_allclose(one(images, training=True), other(images, training=True), atol=1e-5)
    np.testing.assert_allclose(one.moving_mean, other.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(one.moving_variance, other.moving_variance, rtol=0.02)
    one.set_weights(other.get_weights())
    np.testing.assert_allclose(one(images), other(images), atol=1e-6)


def test_residual_blocks_begin_as_the_identity():
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    backbone = build_backbone(32)
    block = keras.Model(
        backbone.input,
        [backbone.get_layer(name).output for name in ('block_1_project_BN', 'block_2_add')],
    )
    before, after = block(images)
    np.testing.assert_array_equal(before, after)


def test_a_sheet_shows_gray_scenes_first_and_coloured_ones_last(small, tmp_path):
    words = ['--look', str(tmp_path / 'sheet.png'), '--workdir', str(tmp_path)]
    assert CliRunner().invoke(command.main, words).exit_code == 0
    pixels = np.asarray(Image.open(tmp_path / 'sheet.png'))
    assert pixels.shape == (864, 1152, 3)
    assert np.ptp(pixels[:288], axis=2).max() <= 1
    assert np.ptp(pixels[576:], axis=2).mean() > 20
