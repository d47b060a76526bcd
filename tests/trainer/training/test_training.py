"""Training of both stages: loss, trained layers, best weights and early stopping."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.model.network import build_head, join
from trainer.training.calibration import log_loss
from trainer.training.callbacks import Validation
from trainer.training.stages import train


@pytest.fixture(scope='module', params=['small_job', 'job_of_three'])
def trained(request, small_jobs, tmp_path_factory):
    """A training of both stages with label smoothing: job, folder, network and result."""
    job = small_jobs[request.param](
        label_smoothing=0.1, feature_extraction={'epochs': 4, 'learning_rate': 0.05}
    )
    folder, network = tmp_path_factory.mktemp('trained'), job.build_network()
    inputs = job.inputs(network, folder / 'activations')
    return job, folder, network, train(job, network, inputs, folder, events=folder / 'events')


def test_loss_and_accuracy_are_those_of_the_exported_network(trained):
    job, _, network, training = trained
    logits, labels = eval_logits(job, network)
    np.testing.assert_allclose(training.logits, logits, rtol=0.02, atol=0.01)
    loss = log_loss(logits, labels, None, calibrated=True)  # without label smoothing
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    accuracy = (logits.argmax(axis=1) == labels).mean()
    losses = training.histories[0].metrics['loss']
    assert losses[-1] < losses[0]
    val_loss, val_accuracy = min(
        epoch
        for history in training.histories
        for epoch in zip(history.metrics['val_loss'], history.metrics['val_accuracy'], strict=True)
    )
    assert val_loss == pytest.approx(loss, rel=0.02)  # the cache stores float16
    assert val_accuracy == pytest.approx(accuracy, abs=0.05)


def eval_logits(job, network):
    images, labels = next(iter(job.splits['eval'].batches(1000)))
    logits = join(network)(tf.cast(images, tf.float32), training=False).numpy()
    return logits, labels.numpy().ravel().astype(int)


@pytest.mark.parametrize(
    'weights', ['balanced', pytest.param({'cats': 1, 'dogs': 4}, marks=pytest.mark.slow)]
)
def test_validation_loss_uses_class_weights_of_training(small_job, tmp_path, run_job, weights):
    job = small_job(
        class_weights=weights,
        feature_extraction={'epochs': 1, 'learning_rate': 1e-2},
        fine_tune={'epochs': 0},
        calibrate=False,
    )
    train = job.splits['train']
    tables = {file: table.copy() for file, table in train.tables.items()}
    for table in tables.values():
        table[:, 0] = np.repeat([0, 1], [18, 6])
    train = dataclasses.replace(train, tables=tables)
    job = dataclasses.replace(job, splits={**job.splits, 'train': train})
    network, (history,) = run_job(job, tmp_path)
    assert history.best_epoch == 1
    logits, labels = eval_logits(job, network)
    losses = np.logaddexp(0, logits[:, 0]) - labels * logits[:, 0]
    of_images = np.where(labels == 1, 2, 2 / 3) if weights == 'balanced' else 1 + 3 * labels
    assert history.metrics['val_loss'][0] == pytest.approx((of_images * losses).mean(), rel=0.02)


@pytest.mark.parametrize('name', ['small_job', 'job_of_three'])
def test_training_loss_uses_class_weights(small_jobs, tmp_path, run_job, name):
    stage = {'epochs': 1, 'learning_rate': 1e-9}  # the weights stay
    weights = {'cats': 1, 'dogs': 4, 'foxes': 2}
    plain = small_jobs[name](feature_extraction=stage, fine_tune={'epochs': 0})
    given = {each: weights[each] for each in plain.classes}
    weighted = small_jobs[name](
        class_weights=given, feature_extraction=stage, fine_tune={'epochs': 0}
    )
    network, (before,) = run_job(plain, tmp_path)
    _, (after,) = run_job(weighted, tmp_path)

    images, labels = next(iter(plain.splits['train'].batches(48)))
    logits = join(network)(tf.cast(images, tf.float32), training=False).numpy()
    labels = labels.numpy().ravel().astype(int)
    of_images = np.array([*given.values()])[labels]
    for history, factors in ((before, None), (after, of_images)):
        expected = log_loss(logits, labels, factors, calibrated=False)
        assert history.metrics['loss'][0] == pytest.approx(expected, rel=0.01)


def test_history_has_both_stages(trained):
    _, folder, _, (histories, *_) = trained
    assert [history.name for history in histories] == ['stage 1, head', 'stage 2, fine-tuning']
    assert [len(history.metrics['accuracy']) for history in histories] == [4, 2]
    assert histories[0].metrics['learning_rate'] == pytest.approx([0.05] * 4)
    assert len([*folder.glob('events/*/*/events.*')]) == 4  # stages, and train and validation


def test_fine_tuning_changes_upper_layers(trained):
    job, _, network, _ = trained
    before = job.build_network().backbone.model
    changed = {
        f'{layer.name}/{variable.name}'
        for layer in network.backbone.model.layers
        if layer.weights
        for variable, initial in zip(
            layer.weights, before.get_layer(layer.name).weights, strict=True
        )
        if (variable.numpy() != initial.numpy()).any()
    }
    assert {each.partition('/')[0] for each in changed} == {'Conv_1'}


def test_training_of_batch_norm_updates_statistics(small_job, tmp_path, run_job):
    stage = {'epochs': 1, 'from_layer': 0, 'batch_norm': 'train'}
    job = small_job(feature_extraction={'epochs': 0}, fine_tune=stage, augment={'flip': True})
    network, (history,) = run_job(job, tmp_path)
    assert history.best_epoch == 1
    for layer in network.backbone.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.momentum == 0.9
            assert (layer.moving_mean.numpy() != 0).any()


@pytest.mark.slow
def test_training_on_cached_pixels_gives_same_metrics(small_job, tmp_path, run_job):
    """The order of images is equal, so only the rounding of activations differs."""
    (_, cached), (_, conventional) = (
        run_job(small_job(augment={'cached_views': views}), tmp_path) for views in (3, 0)
    )
    for with_cache, without in zip(cached, conventional, strict=True):
        for metric, values in with_cache.metrics.items():
            # A loss is as exact as float16; one of 24 images may change its predicted class.
            tolerance = {'atol': 0.05} if 'accuracy' in metric else {'rtol': 5e-3}
            expected = without.metrics[metric]
            np.testing.assert_allclose(values, expected, **tolerance, err_msg=metric)


def test_warm_start_keeps_weights_without_improvement(small_job, tmp_path, run_job):
    stage = {'epochs': 1, 'learning_rate': 1e38}  # far too high
    job = small_job(feature_extraction=stage, fine_tune={'epochs': 0})
    network, (history,) = run_job(job, tmp_path, warm=True)
    assert history.best_epoch is None
    assert history.discarded.startswith('stage 1, head is discarded: its lowest validation loss is')
    before = job.build_network().head.get_weights()
    for weights, initial in zip(network.head.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, initial)


@pytest.mark.parametrize(('classes', 'logits'), [(2, 1), (3, 3), (37, 37)])
def test_head_has_the_layers_of_the_recipe(small_job, classes, logits):
    config = small_job(head={'hidden': [64, 8], 'dropout': 0.5, 'l2': 0.01}).config
    head = build_head(config, 16, classes)
    dense = [layer for layer in head.layers if isinstance(layer, keras.layers.Dense)]
    rates = [layer.rate for layer in head.layers if isinstance(layer, keras.layers.Dropout)]
    units = [(layer.units, layer.activation.__name__) for layer in dense]
    assert units == [(64, 'relu'), (8, 'relu'), (logits, 'linear')]
    assert rates == [0.5, 0.5, 0.5]
    penalty = sum(0.01 * np.square(layer.kernel).sum() for layer in dense)
    assert sum(map(float, head.losses)) == pytest.approx(penalty, rel=1e-4)


@pytest.mark.parametrize(
    ('before', 'losses', 'kept', 'epoch'),
    [
        (math.inf, [3, 1, 2], 1, 2),
        (1, [4, 5], 0, None),  # the weights before the stage, which are 0 here
        (math.inf, [math.nan, 2, math.nan], 2, 2),
        (math.inf, [math.nan], 0, None),
    ],
)
def test_keeps_the_weights_of_the_lowest_loss(monkeypatch, before, losses, kept, epoch):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, 'linear', False)])
    model.set_weights([np.zeros((1, 1))])
    model.compile('sgd')
    batches = tf.data.Dataset.from_tensors((np.ones((1, 1)), np.ones((1, 1))))
    validation = Validation(model, batches, np.ones(1), None, calibrated=False)
    validation.best = validation.best._replace(loss=before)
    validation.set_model(model)
    for number, loss in enumerate(losses):
        model.set_weights([np.full((1, 1), loss)])
        monkeypatch.setattr(validation, 'measure', lambda loss=loss: (loss, 1.0, None))
        validation.on_epoch_end(number, {})
    validation.on_train_end()
    assert (model.get_weights()[0], validation.best.epoch) == (kept, epoch)


def test_overconfidence_does_not_spoil_the_validation_loss():
    """Large logits with a wrong one have a small loss after calibration."""
    logits = 16 * np.float32([[-2], [4], [-2], [1], [1], [2], [0.5]])
    labels = np.array([0, 1, 0, 1, 0, 1, 1])
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation('linear')])
    batches = tf.data.Dataset.from_tensor_slices((logits, labels)).batch(4)
    for calibrated in (True, False):
        validation = Validation(model, batches, labels, None, calibrated=calibrated)
        loss, accuracy, _ = validation.measure()
        assert loss == log_loss(logits, labels, None, calibrated=calibrated)
        assert (loss < 1) == calibrated
        assert accuracy == pytest.approx(6 / 7)
