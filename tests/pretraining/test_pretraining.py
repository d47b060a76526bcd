"""Pretraining as a whole: it learns, goes on where it was, and leaves weights that fit."""

import dataclasses

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from pretraining import training
from pretraining.__main__ import main
from pretraining.collection import Counts, make_collection
from pretraining.network import FusedBatchNorm, build_backbone
from pretraining.training import OtherSettings, Pretraining, Settings, learning_rate, pretrain

COUNTS = Counts(assemblies=4, contours=2, fractals=2, textures=4, figures_each=4, textures_each=4)
SMALL = Settings(size=32, batch=16, steps=6, counts=COUNTS)


@pytest.fixture(scope='module')
def collection(tmp_path_factory):
    return make_collection(COUNTS, 0, tmp_path_factory.mktemp('collection'))


def weights(run: Pretraining) -> list[np.ndarray]:
    return [variable.numpy() for variable in run.backbone.weights]


@pytest.fixture(scope='module')
def uninterrupted(collection, tmp_path_factory):
    run = Pretraining(SMALL, collection)
    pretrain(run, tmp_path_factory.mktemp('uninterrupted'))
    return run


def test_what_was_killed_goes_on_and_ends_with_the_same_weights(
    uninterrupted, collection, tmp_path, monkeypatch
):
    killed = Pretraining(SMALL, collection)
    advance = killed.advance

    def advance_until_killed() -> None:
        if int(killed.step) == 5:  # after the checkpoint of step 4
            raise KeyboardInterrupt
        advance()

    monkeypatch.setattr(killed, 'advance', advance_until_killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain(killed, tmp_path, save_every=2)
    again = Pretraining(dataclasses.replace(SMALL), collection)
    before = weights(again)
    pretrain(again, tmp_path, save_every=2)
    assert int(again.step) == SMALL.steps
    for start, one, other in zip(before, weights(again), weights(uninterrupted), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
        assert start.size < 2 or not np.array_equal(start, one)


def test_other_settings_do_not_go_on_with_a_run(uninterrupted, tmp_path):
    pretrain(uninterrupted, tmp_path)
    longer = dataclasses.replace(SMALL, steps=7)
    uninterrupted.settings, kept = longer, uninterrupted.settings
    try:
        with pytest.raises(OtherSettings, match='other settings; give another --workdir'):
            pretrain(uninterrupted, tmp_path)
    finally:
        uninterrupted.settings = kept


def test_scenes_become_more_difficult_only_when_figures_are_recognised(collection):
    run = Pretraining(dataclasses.replace(SMALL, pace=0.1), collection)
    run.difficulty.assign(0.5)
    run.advance()
    assert float(run.difficulty) == pytest.approx(0.4)
    run.accuracies.assign([1.0, 0.0, 0.0])
    run.advance()
    assert float(run.difficulty) == pytest.approx(0.5)


def test_it_learns_to_tell_figures_apart(collection):
    run = Pretraining(dataclasses.replace(SMALL, steps=60, pace=0.0), collection)
    for _ in range(60):
        run.advance()
    assert run.accuracies[0] > 0.3  # of eight


def test_the_rate_rises_then_falls_to_nothing():
    settings = Settings(steps=1000, learning_rate=1.0, warm_up=0.1)
    rates = [learning_rate(settings, step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(1.0)
    assert np.argmax(rates) in (99, 100)
    assert rates[-1] < 1e-4


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


def test_its_weights_fit_the_backbone_of_the_trainer(tmp_path, monkeypatch):
    monkeypatch.setattr(training, 'Settings', lambda **given: dataclasses.replace(SMALL, **given))
    file = tmp_path / 'made.weights.h5'
    words = ['--steps', '2', '--output', str(file), '--workdir', str(tmp_path / 'work')]
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    plain = keras.applications.MobileNetV2((64, 64, 3), 0.35, include_top=False, weights=None)
    plain.load_weights(file)
    assert file.stat().st_size < 2 * 2**20
    refused = CliRunner().invoke(main, [*words[:-1], str(tmp_path / 'work'), '--steps', '3'])
    assert refused.exit_code == 2
    assert 'other settings' in refused.output


@pytest.mark.parametrize(
    ('name', 'wrong'), [('w.h5', 'weights.h5'), ('no/w.weights.h5', 'no folder')]
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_drawn(tmp_path, name, wrong):
    words = ['--output', str(tmp_path / name), '--workdir', str(tmp_path / 'work')]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert wrong in result.output
    assert not (tmp_path / 'work').exists()
