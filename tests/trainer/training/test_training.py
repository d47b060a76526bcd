"""Training of both stages: trained layers, best weights and early stopping."""

import dataclasses
import functools
import io

import keras
import numpy as np
import pytest

from common import console
from trainer.model.head import build_head, join
from trainer.training.callbacks import BestWeights, EpochBars
from trainer.training.stages import train

AUGMENT = {'flip': True, 'rotation': 0.1, 'cached_views': 2}
FROM_A_RANDOM_START = {
    'feature_extraction': {'epochs': 0},
    'fine_tune': {
        'epochs': 10,
        'from_layer': 0,
        'batch_norm': 'train',
        'learning_rate': 1e-2,
        'schedule': 'cosine',
    },
}


def run(job, folder):
    """Trains; returns the network and the history of its stages."""
    network = job.build_network()
    with job.stage_data(network, folder) as stage_data:
        return network, train(job.config, network, stage_data, folder / 'logs', job.timings)


@pytest.fixture(scope='module')
def from_a_random_start(tmp_path_factory, small_job):
    job = small_job(**FROM_A_RANDOM_START, weights='random', augment={'flip': True})
    return run(job, tmp_path_factory.mktemp('random'))[0]


def test_model_learns_to_classify_pixels(from_a_random_start):
    network = from_a_random_start
    pixels = np.stack([np.full((32, 32, 3), value, 'float32') for value in (60, 190)])
    dark, bright = join(network.backbone, network.head)(pixels, training=False).numpy().ravel()
    assert dark < 0 < bright


def test_training_from_random_weights_updates_batch_norm_statistics(from_a_random_start):
    backbone = from_a_random_start.backbone.model
    assert all((norm.moving_mean.numpy() != 0).any() for norm in norms_of(backbone))


@pytest.fixture(scope='module')
def two_stages(tmp_path_factory, small_job):
    """Training of both stages with augmented views: folder, network and histories."""
    folder = tmp_path_factory.mktemp('two_stages')
    return folder, *run(small_job(augment=AUGMENT), folder)


def test_joined_model_matches_its_parts(two_stages):
    _, network, _ = two_stages
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype('float32')
    feature_map = network.backbone.model(pixels / 127.5 - 1, training=False)
    expected = network.head(np.mean(feature_map, axis=(1, 2)), training=False)
    logits = join(network.backbone, network.head)(pixels, training=False)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-3)


def test_history_has_metrics_of_each_stage(two_stages):
    _, _, histories = two_stages
    assert [history.name for history in histories] == ['stage 1, head', 'stage 2, fine-tuning']
    for history in histories:
        assert {len(values) for values in history.metrics.values()} == {2}
        assert set(history.metrics) == {'loss', 'accuracy', 'val_loss', 'val_accuracy'}


def test_deletes_the_cache(two_stages):
    assert not list(two_stages[0].rglob('*.records'))


@pytest.fixture(scope='module')
def fine_tuned(tmp_path_factory, small_job):
    """A backbone after fine-tuning without stage 1, and the initial backbone."""
    job = small_job(feature_extraction={'epochs': 0})
    network, _ = run(job, tmp_path_factory.mktemp('fine_tuned'))
    return network.backbone.model, job.build_network().backbone.model


def test_fine_tuning_changes_only_upper_layers(fine_tuned):
    changed = {
        number
        for number, (new, old) in enumerate(zip(*(each.layers for each in fine_tuned), strict=True))
        for one, other in zip(new.get_weights(), old.get_weights(), strict=True)
        if (one != other).any()
    }
    names = [layer.name for layer in fine_tuned[0].layers]
    assert changed
    assert min(changed) >= names.index('block_14_expand')


def norms_of(backbone):
    norm = keras.layers.BatchNormalization
    return [layer for layer in backbone.layers if isinstance(layer, norm)]


def test_inference_mode_freezes_batch_norm_statistics(fine_tuned):
    trained, initial = map(norms_of, fine_tuned)
    assert any((norm.gamma.numpy() != 1).any() for norm in trained)
    for norm, before in zip(trained, initial, strict=True):
        np.testing.assert_array_equal(norm.moving_mean, before.moving_mean)
        np.testing.assert_array_equal(norm.moving_variance, before.moving_variance)


def test_same_seed_gives_same_weights(tmp_path, small_job, two_stages):
    _, first, _ = two_stages
    second, _ = run(small_job(augment=AUGMENT), tmp_path)
    for one, other in ((first.head, second.head), (first.backbone.model, second.backbone.model)):
        for weights, again in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(weights, again)


def test_different_seed_gives_different_weights(small_job):
    first, second = (small_job(seed=seed).build_network().head for seed in (0, 1))
    assert (first.get_weights()[0] != second.get_weights()[0]).any()


def test_writes_tensorboard_logs_of_both_stages(two_stages):
    logs = two_stages[0] / 'logs'
    stages = {path.parent.parent.name for path in logs.rglob('events.out.*')}
    assert stages == {'feature_extraction', 'fine_tune'}


def test_training_without_cache_gives_same_metrics(tmp_path, small_job):
    """The order of images is equal, so only the rounding of cached activations differs."""
    changes = {
        'precision': 'float32',
        'head': {'dropout': 0},
        'feature_extraction': {'epochs': 3, 'learning_rate': 1e-2},
        'fine_tune': {'epochs': 2, 'from_layer': 'block_14_expand', 'learning_rate': 1e-5},
    }
    _, cached = run(small_job(**changes), tmp_path)
    _, conventional = run(small_job(**changes, cache=False), tmp_path)
    for with_cache, without in zip(cached, conventional, strict=True):
        for metric, values in with_cache.metrics.items():
            np.testing.assert_allclose(values, without.metrics[metric], atol=0.03, err_msg=metric)


@pytest.fixture(scope='module')
def head_training(tmp_path_factory, small_job):
    """`head_training(**changes)`: a new head, and a function that trains it on a shared cache."""
    folder = tmp_path_factory.mktemp('head')
    first = small_job(fine_tune={'epochs': 0})
    network = first.build_network()

    def make(**changes):
        job = small_job(fine_tune={'epochs': 0}, **changes)
        keras.utils.set_random_seed(job.config.seed)
        head = build_head(job.config, network.backbone.model.output_shape[-1])
        initial = dataclasses.replace(network, head=head)
        logs = folder / 'logs'
        return head, functools.partial(train, job.config, initial, stage_data, logs, job.timings)

    with first.stage_data(network, folder) as stage_data:
        yield make


def test_warm_start_keeps_weights_without_improvement(head_training):
    head, train_head = head_training(feature_extraction={'epochs': 1, 'learning_rate': 100.0})
    before = head.get_weights()
    (history,) = train_head(warm=True)
    assert history.best_epoch is None  # the learning rate is far too high
    for weights, was in zip(head.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, was)


def test_head_has_the_layers_of_the_recipe(small_job):
    config = small_job(head={'hidden': [64, 8], 'dropout': 0.5, 'l2': 0.01}).config
    head = build_head(config, 1280)
    dense = [layer for layer in head.layers if isinstance(layer, keras.layers.Dense)]
    rates = [layer.rate for layer in head.layers if isinstance(layer, keras.layers.Dropout)]
    assert [(layer.units, layer.activation.__name__) for layer in dense] == [
        (64, 'relu'),
        (8, 'relu'),
        (1, 'linear'),
    ]
    assert rates == [0.5, 0.5, 0.5]
    penalty = sum(0.01 * np.square(layer.kernel).sum() for layer in dense)
    assert sum(map(float, head.losses)) == pytest.approx(penalty, rel=1e-4)


def test_label_smoothing_bounds_the_loss(head_training):
    stage = {'epochs': 20, 'learning_rate': 1e-2}
    _, train_head = head_training(label_smoothing=0.2, feature_extraction=stage)
    (history,) = train_head()
    minimum = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))
    assert min(history.metrics['val_loss']) > minimum - 1e-3
    assert min(history.metrics['val_loss']) < np.log(2)


class FakeModel:
    """A model with a single number as weights."""

    def __init__(self):
        self.weights, self.stop_training = [0], False

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights


def run_stage(best, model, losses):
    """Runs a stage in which each epoch sets the weights to its validation loss."""
    best.set_model(model)
    best.on_train_begin()
    for epoch, loss in enumerate(losses):
        model.weights = [loss]
        best.on_epoch_end(epoch, {'val_loss': loss})
        if model.stop_training:
            break
    best.on_train_end()


def test_keeps_weights_of_the_best_epoch_over_all_stages():
    model, best = FakeModel(), BestWeights()
    run_stage(best, model, [3, 1, 2])
    assert model.weights == [1]
    run_stage(best, model, [4, 5])
    assert model.weights == [1]


def test_patience_stops_a_stage_early():
    model, best = FakeModel(), BestWeights()
    best.patience = 2
    run_stage(best, model, [3, 4, 5, 1])
    assert model.stop_training
    assert model.weights == [3]


def test_patience_compares_epochs_of_the_same_stage():
    model, best = FakeModel(), BestWeights()
    run_stage(best, model, [1])
    best.patience = 2
    run_stage(best, model, [4, 3, 2, 0])
    assert model.weights == [0]
    assert best.best_epoch == 4


def test_interrupted_epoch_ends_its_bar():
    bars, stream = EpochBars('stage'), io.StringIO()
    bars.set_params({'epochs': 1, 'steps': 2})
    with console.output_to(stream):
        with bars:  # the epoch starts and never ends, as after an exception
            bars.on_epoch_begin(0)
        assert 'stage 1/1' in stream.getvalue()  # printed when a bar ends
