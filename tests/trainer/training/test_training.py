"""Training of both stages: loss, trained layers, best weights and early stopping."""

import types

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from trainer.model.network import build_head, join
from trainer.training.callbacks import BestWeights


@pytest.fixture(scope='module', params=['small_job', 'job_of_three'])
def trained(request, small_jobs, tmp_path_factory, run_job):
    """A training of both stages with label smoothing: job, folder, network and histories."""
    job = small_jobs[request.param](
        label_smoothing=0.1, feature_extraction={'epochs': 4, 'learning_rate': 0.05}
    )
    folder = tmp_path_factory.mktemp('trained')
    return job, folder, *run_job(job, folder)


def test_loss_and_accuracy_are_those_of_the_exported_network(trained):
    job, _, network, histories = trained
    images, labels = next(iter(job.splits['eval'].batches(1000)))
    logits = join(network)(tf.cast(images, tf.float32), training=False).numpy()
    if logits.shape[1] == 1:
        logits = np.hstack([np.zeros_like(logits), logits])
    truth = np.eye(len(job.classes))[labels.numpy().ravel().astype(int)]
    smoothed = 0.9 * truth + 0.1 / len(job.classes)
    loss = -(smoothed * scipy.special.log_softmax(logits, axis=1)).sum(axis=1).mean()
    accuracy = (logits.argmax(axis=1) == truth.argmax(axis=1)).mean()
    assert accuracy > 0.8
    val_loss, val_accuracy = min(
        epoch
        for history in histories
        for epoch in zip(history.metrics['val_loss'], history.metrics['val_accuracy'], strict=True)
    )
    assert val_loss == pytest.approx(loss, rel=0.02)  # the cache stores float16
    assert val_accuracy == pytest.approx(accuracy, abs=0.05)


def test_validation_loss_uses_class_weights(small_job, tmp_path, run_job):
    job = small_job(
        class_weights={'cats': 1, 'dogs': 4},
        feature_extraction={'epochs': 1, 'learning_rate': 1e-2},
        fine_tune={'epochs': 0},
    )
    network, (history,) = run_job(job, tmp_path)
    assert history.best_epoch == 1
    images, labels = next(iter(job.splits['eval'].batches(1000)))
    logits = join(network)(tf.cast(images, tf.float32), training=False).numpy()
    labels = labels.numpy()
    losses = np.logaddexp(0, logits) - labels * logits
    expected = ((1 + 3 * labels) * losses).mean()
    assert history.metrics['val_loss'][0] == pytest.approx(expected, rel=0.02)
    assert expected != pytest.approx(losses.mean(), rel=0.2)


def test_history_and_logs_have_both_stages(trained):
    _, folder, _, histories = trained
    assert [history.name for history in histories] == ['stage 1, head', 'stage 2, fine-tuning']
    assert [len(history.metrics['accuracy']) for history in histories] == [4, 2]
    logs = {path.parent.parent.name for path in (folder / 'logs').rglob('events.out.*')}
    assert logs == {'feature_extraction', 'fine_tune'}
    assert not list(folder.rglob('*.records'))


def test_fine_tuning_changes_upper_layers_and_no_statistics(trained):
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
    assert changed == {'Conv_1/kernel', 'Conv_1_BN/gamma', 'Conv_1_BN/beta'}


def test_training_of_batch_norm_updates_statistics(small_job, tmp_path, run_job):
    stage = {'epochs': 1, 'from_layer': 0, 'batch_norm': 'train'}
    job = small_job(feature_extraction={'epochs': 0}, fine_tune=stage, augment={'flip': True})
    network, (history,) = run_job(job, tmp_path)
    assert history.best_epoch == 1
    for layer in network.backbone.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.momentum == 0.9
            assert (layer.moving_mean.numpy() != 0).any()


@pytest.mark.parametrize('augment', [{}, {'flip': True, 'cached_views': 0}])
def test_training_without_cache_gives_same_metrics(small_job, tmp_path, run_job, augment):
    """The order of images and views is equal, so only the rounding of activations differs."""
    (_, cached), (_, conventional) = (
        run_job(small_job(cache=cache, augment=augment), tmp_path) for cache in (True, False)
    )
    for with_cache, without in zip(cached, conventional, strict=True):
        for metric, values in with_cache.metrics.items():
            # A loss is as exact as float16; one of 24 images may change its predicted class.
            tolerance = {'atol': 0.05} if 'accuracy' in metric else {'rtol': 5e-3}
            expected = without.metrics[metric]
            np.testing.assert_allclose(values, expected, **tolerance, err_msg=metric)


def test_caches_the_plain_image_and_augmented_views(small_job, tmp_path):
    augment = {'flip': True, 'rotation': 0.2, 'cached_views': 2}
    job, plain = small_job(augment=augment), small_job()
    network = job.build_network()
    (tmp_path / 'plain').mkdir()
    with (
        job.stage_inputs(network, tmp_path) as inputs,
        plain.stage_inputs(network, tmp_path / 'plain') as plain_inputs,
    ):
        for stage, splits in inputs.items():
            first, second = (list(view.as_numpy_iterator()) for view in splits['train'].views)
            (expected,) = plain_inputs[stage]['train'].views
            assert len(first) == len(second) == 48
            assert first == list(expected.as_numpy_iterator())
            assert first != second
            assert len(splits['eval'].views) == 1


def test_warm_start_keeps_weights_without_improvement(small_job, tmp_path, run_job):
    job = small_job(
        feature_extraction={'epochs': 1, 'learning_rate': 1000.0},
        fine_tune={'epochs': 0},
        label_smoothing=0.1,
    )
    network, (history,) = run_job(job, tmp_path, warm=True)
    assert history.best_epoch is None  # the learning rate is far too high
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
    ('patience', 'stages', 'kept', 'best_epoch'),
    [
        (0, [[3, 1, 2], [4, 5]], 1, None),  # the best epoch of all stages
        (2, [[3, 4, 5, 1]], 3, 1),  # stops before the last epoch
        (2, [[1], [4, 3, 2, 0]], 0, 4),  # patience compares epochs of the same stage
    ],
)
def test_keeps_best_weights_and_stops_early(patience, stages, kept, best_epoch):
    model = types.SimpleNamespace(weights=0, stop_training=False)
    model.get_weights = lambda: model.weights
    model.set_weights = lambda weights: setattr(model, 'weights', weights)
    best = BestWeights()
    best.set_model(model)
    best.patience = patience
    for losses in stages:
        best.on_train_begin()
        for epoch, loss in enumerate(losses):
            if not model.stop_training:
                model.weights = loss
                best.on_epoch_end(epoch, {'val_loss': loss})
        best.on_train_end()
    assert (model.weights, best.best_epoch) == (kept, best_epoch)
