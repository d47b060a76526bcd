"""`auto` in `trainer.fine_tune`: chosen by what the head reaches, or as for the live model."""

import numpy as np
import pytest

from trainer.config.train import DEEP, DEEP_AND_LONG, SHALLOW
from trainer.results import FineTuningChoice
from trainer.training.auto import decide, settle, share_of_mistakes
from trainer.training.stages import train

AUTO = {'from_layer': 'auto', 'epochs': 'auto', 'learning_rate': 'auto'}
GOOD_HEAD, POOR_HEAD = {'epochs': 8, 'learning_rate': 0.1}, {'epochs': 1, 'learning_rate': 1e-9}


@pytest.mark.parametrize(
    ('head', 'depth', 'views'),
    [
        (GOOD_HEAD, SHALLOW, 3),
        (POOR_HEAD, DEEP, 3),
        pytest.param(POOR_HEAD, DEEP, 0, marks=pytest.mark.slow),
    ],
)
def test_poor_head_is_fine_tuned_deeper_and_a_later_run_computes_nothing_again(
    small_job, tmp_path, head, depth, views
):
    recipe = {'fine_tune': AUTO, 'feature_extraction': head, 'augment': {'cached_views': views}}
    recipe['model'] = 'training_jobs:own_model'  # deep and shallow have other cuts
    job, cache = settle(small_job(**recipe), None), tmp_path / 'activations'
    network = job.build_network()
    inputs = job.inputs(network, cache)
    before = {*cache.iterdir()}

    training = train(job, network, inputs, tmp_path / 'state')
    choice, backbone = training.choice, training.network.backbone

    assert choice.values['from_layer'] == depth['from_layer']
    assert (backbone.cut == network.backbone.cut) == (depth == SHALLOW)
    assert len(training.histories[1].metrics['loss']) == choice.values['epochs']

    again = settle(small_job(**recipe), choice)
    again.inputs(again.build_network(), cache)
    assert {*cache.iterdir()} == before


@pytest.mark.parametrize('layer', ['auto', 8])
def test_every_choice_has_the_activations_of_a_later_run(small_job, tmp_path, layer):
    recipe = {
        'model': 'training_jobs:own_model',
        'fine_tune': {**AUTO, 'from_layer': layer},
        'augment': {'rotation': 0.1, 'cached_views': 10},  # more than some choices have epochs
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


@pytest.fixture(scope='module')
def undecided(small_job):
    """A job, and its network."""
    job = settle(small_job(fine_tune=AUTO), None)
    return job, job.build_network()


@pytest.mark.parametrize(
    ('mistakes', 'expected'),
    [(0, SHALLOW), (0.05, SHALLOW), (0.06, DEEP), (0.6, DEEP), (0.7, DEEP_AND_LONG)],
)
def test_choice_by_the_mistakes_of_the_head(undecided, mistakes, expected):
    decided, network = decide(*undecided, mistakes)

    assert decided.choice.values == expected
    assert decided.config.fine_tune.model_dump().items() >= expected.items()
    assert (decided.undecided, decided.config.fine_tune.auto) == (None, ())
    first = int(expected['from_layer'] * len(network.backbone.model.layers))
    assert network.backbone.first_trained == first


def test_chooses_only_what_is_auto(small_job, undecided):
    stage = {'from_layer': 'auto', 'epochs': 1, 'learning_rate': 1e-2}

    decided, _ = decide(settle(small_job(fine_tune=stage), None), undecided[1], 0.5)

    chosen = {'from_layer': DEEP['from_layer']}
    assert decided.choice.values == chosen
    assert decided.config.fine_tune.model_dump().items() >= {**stage, **chosen}.items()


def test_reason_names_the_first_layer_with_weights(undecided):
    decided, network = decide(*undecided, 0.0)

    layers = network.backbone.model.layers
    assert layers[network.backbone.first_trained].name == 'block_1_add'
    assert 'trains from Conv_1 on' in decided.choice.reason


def test_choice_after_a_warm_start_has_no_basis(undecided):
    decided, _ = decide(*undecided, 0.0, warm=True)

    assert (decided.choice.values, decided.choice.basis) == (SHALLOW, {})


@pytest.mark.parametrize(
    ('name', 'changes', 'same'),
    [
        ('small_job', {}, True),
        ('small_job', {'fine_tune': {**AUTO, 'epochs': 1}}, False),
        ('small_job', {'alpha': 0.5}, False),
        ('job_of_three', {}, False),
    ],
)
def test_choice_of_the_live_model_is_taken_over_with_its_recipe_and_classes(
    small_jobs, undecided, name, changes, same
):
    live = FineTuningChoice(basis=undecided[0].undecided, values=DEEP, reason='the head was poor')

    job = settle(small_jobs[name](**{'fine_tune': AUTO, **changes}), live)

    assert job.choice == (live if same else None)
    assert (job.undecided is None) == same
    assert (job.config.fine_tune.from_layer == DEEP['from_layer']) == same


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
