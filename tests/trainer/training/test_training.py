"""Training of both stages: losses, trained layers, warm start and head."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from training_jobs import train_in

from trainer.model.network import build_head, join
from trainer.training.calibration import log_loss
from trainer.training.callbacks import Validation


def logits_of(job, network, split='eval'):
    images = next(iter(job.splits[split].batches(1000)))[0]
    return join(network)(tf.cast(images, tf.float32), training=False).numpy()


@pytest.fixture(scope='module', params=['small_job', 'job_of_three'])
def trained(request, small_jobs, tmp_path_factory):
    """A training of both stages with label smoothing: job, folder, network and result."""
    job = small_jobs[request.param](
        label_smoothing=0.1, feature_extraction={'epochs': 4, 'learning_rate': 0.05}
    )
    folder = tmp_path_factory.mktemp('trained')
    return job, folder, *train_in(folder, job, events=folder / 'events')


def test_loss_and_accuracy_are_those_of_the_exported_network(trained):
    job, _, network, training = trained
    logits, labels = logits_of(job, network), job.splits['eval'].labels
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


@pytest.mark.parametrize(
    ('name', 'weights', 'expected'),
    [
        ('small_job', 'balanced', [2 / 3, 2]),
        ('job_of_three', {'foxes': 2, 'dogs': 4, 'cats': 1}, [1, 4, 2]),
    ],
)
def test_losses_of_training_and_validation_use_class_weights(
    small_jobs, tmp_path, name, weights, expected
):
    job = small_jobs[name](
        class_weights=weights,
        feature_extraction={'epochs': 1, 'learning_rate': 1e-9},  # the weights stay
        fine_tune={'epochs': 0},
        calibrate=False,
    )
    split = job.splits['train']
    labels = np.repeat([0, 1], [18, 6])  # of each file
    tables = {file: np.column_stack([labels, table[:, 1]]) for file, table in split.tables.items()}
    splits = {**job.splits, 'train': dataclasses.replace(split, tables=tables)}
    job = dataclasses.replace(job, splits=splits)

    network, training = train_in(tmp_path, job)

    for key, split in (('loss', 'train'), ('val_loss', 'eval')):
        labels = job.splits[split].labels
        of_images = np.array(expected)[labels]
        loss = log_loss(logits_of(job, network, split), labels, of_images, calibrated=False)
        assert training.histories[0].metrics[key] == (pytest.approx(loss, rel=0.01),)


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
        after.path.partition('/')[0]
        for after, initial in zip(network.backbone.model.weights, before.weights, strict=True)
        if (after.numpy() != initial.numpy()).any()
    }
    assert changed == {'Conv_1'}


def test_training_of_batch_norm_updates_statistics(small_job, tmp_path):
    stage = {'epochs': 1, 'from_layer': 0, 'batch_norm': 'train'}
    job = small_job(feature_extraction={'epochs': 0}, fine_tune=stage, augment={'flip': True})
    network, training = train_in(tmp_path, job)
    assert training.histories[0].best_epoch == 1
    layers = network.backbone.model.layers
    norms = [each for each in layers if isinstance(each, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.9}  # they are not folded
    assert all((layer.moving_mean.numpy() != 0).any() for layer in norms)


@pytest.mark.slow
def test_training_on_cached_pixels_gives_same_metrics(small_job, tmp_path):
    """The order of images is equal, so only the rounding of activations differs."""
    cached, conventional = (
        train_in(tmp_path / f'{views}', small_job(augment={'cached_views': views}))[1].histories
        for views in (3, 0)
    )
    for with_cache, without in zip(cached, conventional, strict=True):
        for metric, values in with_cache.metrics.items():
            # A loss is as exact as float16; one of 24 images may change its predicted class.
            tolerance = {'atol': 0.05} if 'accuracy' in metric else {'rtol': 5e-3}
            expected = without.metrics[metric]
            np.testing.assert_allclose(values, expected, **tolerance, err_msg=metric)


def test_warm_start_keeps_weights_without_improvement(small_job, tmp_path):
    stage = {'epochs': 1, 'learning_rate': 1e38}  # far too high
    job = small_job(feature_extraction=stage, fine_tune={'epochs': 0})
    network, training = train_in(tmp_path, job, warm=True)
    (history,) = training.histories
    assert history.best_epoch is None
    assert history.discarded.startswith('stage 1, head is discarded: its lowest validation loss is')
    before = job.build_network().head.get_weights()
    for weights, initial in zip(network.head.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, initial)


def test_head_has_the_layers_of_the_recipe(small_job):
    config = small_job(head={'hidden': [64, 8], 'dropout': 0.5, 'l2': 0.01}).config
    head = build_head(config, 16, classes=3)
    dense = [layer for layer in head.layers if isinstance(layer, keras.layers.Dense)]
    rates = [layer.rate for layer in head.layers if isinstance(layer, keras.layers.Dropout)]
    units = [(layer.units, layer.activation.__name__) for layer in dense]
    assert units == [(64, 'relu'), (8, 'relu'), (3, 'linear')]
    assert rates == [0.5, 0.5, 0.5]
    penalty = sum(0.01 * np.square(layer.kernel).sum() for layer in dense)
    assert sum(map(float, head.losses)) == pytest.approx(penalty, rel=1e-4)


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
