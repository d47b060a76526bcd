"""Batches of a stage: scaling, epochs, labels and class weights."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.data.stage_data import class_weights, make_stage_data
from trainer.data.tensors import Tensors


def preprocess(images):
    return images / 127.5 - 1


def stage_data_of(job):
    splits = {}
    for name, split in job.splits.items():
        images = np.concatenate([batch.numpy() for batch, _ in split.batches(24)])
        load = lambda places, images=images: tf.gather(images, places)  # noqa: E731
        splits[name] = Tensors(split.labels, (load,), are_images=True)
    return make_stage_data(splits, job.config, job.classes, preprocess)


def numbered(count, views=1, **config):
    """Data of one value, the number of the image plus 100 per view, labelled by parity."""
    loads = tuple(
        lambda places, view=view: tf.cast(places[:, tf.newaxis] + 100 * view, tf.float16)
        for view in range(views)
    )
    splits = dict.fromkeys(('train', 'eval'), Tensors(np.arange(count) % 2, loads, False))
    return make_stage_data(splits, TrainConfig(**config), ('a', 'b'), preprocess)


def first_batch(job):
    return [tensor.numpy() for tensor in next(iter(stage_data_of(job).train))]


@pytest.mark.parametrize('augment', [{}, {'flip': True, 'rotation': 0.2}])
def test_scales_images_to_the_range_of_the_backbone(small_job, augment):
    images, labels = first_batch(small_job(augment=augment))
    assert (images.shape, images.dtype) == ((8, 32, 32, 3), np.float32)
    assert -1 <= images.min() < images.max() <= 1
    assert labels.shape == (8, 1)
    assert (images.mean(axis=(1, 2, 3)) > 0).tolist() == labels.ravel().tolist()


def test_epoch_has_every_image_and_epochs_take_turns_with_the_views():
    """Of 63 images and a batch size of 32, one batch has 31."""
    data = numbered(63, views=2, batch_size=32)
    assert data.steps == 2
    batches = [
        (values.numpy().ravel(), labels.numpy().ravel()) for values, labels in data.train.take(8)
    ]
    assert [len(values) for values, _ in batches] == [32, 31] * 4
    epochs = [np.concatenate([values for values, _ in batches[n : n + 2]]) for n in (0, 2, 4, 6)]
    for number, values in enumerate(epochs):
        assert sorted(values) == [n + 100 * (number % 2) for n in range(63)]
    assert (epochs[0] != epochs[2]).any()  # another order
    for values, labels in batches:
        np.testing.assert_array_equal(values % 2, labels)


def test_order_of_batches_depends_on_the_seed():
    orders = [
        np.concatenate([values for values, _ in numbered(30, seed=seed).train.take(2)]).tolist()
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


def test_labels_of_three_classes_are_one_hot(job_of_three):
    job = job_of_three()
    data = stage_data_of(job)
    labels = np.concatenate([labels for _, labels in data.train.take(data.steps)])
    assert sorted(labels.tolist()) == sorted(np.eye(3)[job.splits['train'].labels].tolist())
    assert labels.dtype == np.float32


@pytest.mark.parametrize('counts', [(30, 10), (30, 0, 10)])
def test_balanced_weights_give_each_class_equal_total(counts):
    labels = np.repeat(np.arange(len(counts)), counts).astype('float32')
    classes = ('cats', 'dogs', 'foxes')[: len(counts)]
    weights = class_weights(TrainConfig(class_weights='balanced'), classes, labels)
    expected = [20 / count if count else 0 for count in counts]
    np.testing.assert_allclose(weights, expected, rtol=1e-6)  # float32


def test_named_weights_are_in_the_order_of_the_classes():
    config = TrainConfig(class_weights={'dogs': 3, 'cats': 1})
    assert class_weights(config, ('cats', 'dogs'), np.zeros(2)).tolist() == [1, 3]


def test_each_epoch_draws_new_views_without_cached_views(small_job):
    data = stage_data_of(small_job(augment={'flip': True, 'rotation': 0.2, 'cached_views': 0}))
    batches = [images.numpy() for images, _ in data.train.take(2 * data.steps)]
    assert len({image.tobytes() for image in np.concatenate(batches)}) == 2 * 48


def test_batch_size_is_divisible_by_replicas(monkeypatch):
    strategy = type('FiveDevices', (), {'num_replicas_in_sync': 5})
    monkeypatch.setattr(tf.distribute, 'get_strategy', lambda: strategy)
    data = numbered(48, batch_size=7)
    assert next(iter(data.train))[0].shape[0] == 5
    assert data.steps == 48 // 5
