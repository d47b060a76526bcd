"""`auto` in `trainer.fine_tune`: chosen by what the head reaches, or as for the live model."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
import training_jobs

from trainer.config.train import DEEP, DEEP_AND_LONG, SHALLOW
from trainer.data.tensors import DEEPER
from trainer.results import FineTuningChoice
from trainer.training.auto import decide, settle, share_of_mistakes
from trainer.training.stages import train

AUTO = {'from_layer': 'auto', 'epochs': 'auto', 'learning_rate': 'auto'}
GOOD_HEAD, POOR_HEAD = {'epochs': 4, 'learning_rate': 0.05}, {'epochs': 1, 'learning_rate': 1e-9}


@pytest.fixture
def trained(small_job, tmp_path):
    """`trained(live=None, **changes)`: trains with `auto`; returns the job, and the result."""

    def run(live=None, **changes):
        job = settle(small_job(**{'fine_tune': AUTO, **changes}), live)
        network = job.build_network()
        inputs = job.inputs(network, tmp_path / 'activations')
        return job, train(job, network, inputs, Path(tempfile.mkdtemp(dir=tmp_path)))

    return run


@pytest.fixture
def chain(monkeypatch):
    """Replaces the small network by five convolutions: deep and shallow have other cuts."""

    def build():
        images = values = keras.Input((32, 32, 3))
        for _ in range(5):
            values = keras.layers.Conv2D(8, 3, strides=2, padding='same', use_bias=False)(values)
            values = keras.layers.ReLU()(keras.layers.BatchNormalization()(values))
        return keras.Model(images, values)

    monkeypatch.setattr(training_jobs, 'small_mobilenet', build)


def test_deeper_fine_tuning_reads_the_activations_of_its_boundary(small_job, tmp_path, chain):
    job = settle(small_job(fine_tune=AUTO, feature_extraction=POOR_HEAD), None)
    network = job.build_network()
    inputs = job.inputs(network, tmp_path / 'activations')

    training = train(job, network, inputs, tmp_path / 'state')

    backbone = training.network.backbone
    assert backbone.cut != network.backbone.cut
    assert inputs[DEEPER]['eval'].batches().element_spec[0].shape[1:] == backbone.boundary_shape
    assert len(training.histories[1].metrics['loss']) == training.choice.values['epochs']


@pytest.mark.parametrize('layer', ['auto', 10])
def test_one_pass_over_the_images_serves_every_choice(small_job, tmp_path, chain, layer):
    """A later run that takes a choice over computes the same files."""
    recipe = {
        'fine_tune': {**AUTO, 'from_layer': layer},
        'augment': {'rotation': 0.1, 'cached_views': 10},
    }
    job = settle(small_job(**recipe), None)
    network, cache, later_cache = job.build_network(), tmp_path / 'first', tmp_path / 'later'
    job.inputs(network, cache)

    for mistakes in (0.0, 0.5, 1.0):
        decided, _ = decide(job, network, mistakes)
        later = settle(small_job(**recipe), decided.choice)
        later.inputs(later.build_network(), later_cache)

    for file in later_cache.iterdir():
        values = [np.fromfile(each, np.float16) for each in (file, cache / file.name)]
        np.testing.assert_allclose(*values, rtol=5e-3, atol=2e-3)


@pytest.mark.parametrize('views', [3, pytest.param(0, marks=pytest.mark.slow)])
def test_a_poor_head_is_fine_tuned_deeper_and_longer_than_a_good_one(trained, views):
    augment = {'cached_views': views}
    before, shallow = trained(feature_extraction=GOOD_HEAD, augment=augment)
    _, deep = trained(feature_extraction=POOR_HEAD, augment=augment)

    provisional = before.build_network().backbone
    assert shallow.network.backbone.first_trained == provisional.first_trained
    assert deep.network.backbone.first_trained < provisional.first_trained
    assert deep.choice.values['epochs'] > shallow.choice.values['epochs']
    for training in (shallow, deep):
        lengths = [len(values) for values in training.histories[1].metrics.values()]
        assert {*lengths} == {training.choice.values['epochs']}


def test_chooses_only_what_is_auto(trained):
    stage = {'from_layer': 'auto', 'epochs': 1, 'learning_rate': 1e-2}

    _, training = trained(feature_extraction=POOR_HEAD, fine_tune=stage)

    assert set(training.choice.values) == {'from_layer'}
    assert training.histories[1].metrics['learning_rate'] == pytest.approx([1e-2])
    assert len(training.histories[1].metrics['loss']) == 1


@pytest.mark.parametrize(
    ('mistakes', 'expected'),
    [(0, SHALLOW), (0.05, SHALLOW), (0.06, DEEP), (0.6, DEEP), (0.7, DEEP_AND_LONG)],
)
def test_choice_by_the_mistakes_of_the_head(small_job, mistakes, expected):
    job = settle(small_job(fine_tune=AUTO), None)

    decided, network = decide(job, job.build_network(), mistakes)

    assert decided.choice.values == expected
    assert decided.config.fine_tune.model_dump().items() >= expected.items()
    assert (decided.undecided, decided.config.fine_tune.auto) == (None, ())
    assert network.backbone.first_trained == int(
        expected['from_layer'] * len(network.backbone.model.layers)
    )


def test_reason_names_the_first_layer_that_is_trained(small_job, chain):
    job = settle(small_job(fine_tune=AUTO), None)
    network = job.build_network()

    decided, fine_tuned = decide(job, network, 0.0)

    last = [each.name for each in network.backbone.model.layers if 'conv' in each.name][-1]
    assert fine_tuned.backbone.first_trained < len(network.backbone.model.layers) - 3
    assert f'trains from {last} on' in decided.choice.reason


def test_choice_after_a_warm_start_has_no_basis(small_job):
    job = settle(small_job(fine_tune=AUTO), None)

    decided, _ = decide(job, job.build_network(), 0.0, warm=True)

    assert decided.choice.values == SHALLOW
    assert decided.choice.basis == {}


@pytest.fixture
def live(small_job):
    """The choice of a live model that was fine-tuned deep."""
    basis = settle(small_job(fine_tune=AUTO), None).undecided
    return FineTuningChoice(basis=basis, values=DEEP, reason='the head was poor')


def test_takes_the_choice_of_the_live_model_over(trained, live):
    job, training = trained(live, feature_extraction=GOOD_HEAD)

    assert training.choice == live
    assert job.config.fine_tune.from_layer == live.values['from_layer']


@pytest.mark.parametrize(
    ('name', 'changes'),
    [
        ('small_job', {'fine_tune': {**AUTO, 'epochs': 1}}),
        ('small_job', {'alpha': 0.5}),
        ('job_of_three', {}),
    ],
)
def test_chooses_anew_for_another_recipe_or_other_classes(small_jobs, live, name, changes):
    job = settle(small_jobs[name](**{'fine_tune': AUTO, **changes}), live)

    assert job.choice is None
    assert job.undecided


@pytest.mark.parametrize(
    ('logits', 'labels', 'expected'),
    [
        ([[-1], [2], [3], [1]], [0, 1, 0, 0], 1 / 3),
        ([[1, 0, 0], [0, 0, 3], [0, 2, 1]], [0, 2, 0], 1 / 4),
        (None, [0, 1], 1),
        ([[-1]] * 10, [0] * 9 + [1], 0.5),  # always the frequent class
    ],
)
def test_share_of_mistakes(logits, labels, expected):
    logits = None if logits is None else np.array(logits)

    assert share_of_mistakes(logits, np.array(labels)) == pytest.approx(expected)
