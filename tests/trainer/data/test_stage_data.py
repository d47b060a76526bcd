"""Batches of a stage: scaling, epochs, views and class weights."""

import numpy as np
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.data.stage_data import class_weights, make_stage_data
from trainer.data.tensors import Tensors


def preprocess(images):
    return images / 127.5 - 1


def numbered(count, views=1, **config):
    """Data of one value, the number of the image plus 100 per view, labelled by parity."""
    loads = tuple(
        lambda places, view=view: tf.cast(places[:, tf.newaxis] + 100 * view, tf.float16)
        for view in range(views)
    )
    splits = dict.fromkeys(('train', 'eval'), Tensors(np.arange(count) % 2, loads, False))
    return make_stage_data(splits, TrainConfig(**config), ('a', 'b'), preprocess)


def test_images_are_scaled_and_augmented_anew_in_each_epoch(small_job):
    job = small_job(augment={'flip': True, 'rotation': 0.2, 'cached_views': 0})
    split = job.splits['train']
    pixels = next(iter(split.batches(split.count)))[0]
    tensors = Tensors(split.labels, (lambda places: tf.gather(pixels, places),), are_images=True)
    splits = dict.fromkeys(('train', 'eval'), tensors)

    data = make_stage_data(splits, job.config, job.classes, preprocess)

    images, labels = map(np.concatenate, zip(*data.train.take(2 * data.steps), strict=True))
    assert (images.shape, images.dtype) == ((2 * split.count, 32, 32, 3), np.float32)
    assert -1 <= images.min() < images.max() <= 1
    assert (images.mean(axis=(1, 2, 3)) > 0).tolist() == labels.ravel().tolist()
    assert len({image.tobytes() for image in images}) == 2 * split.count
    evaluated = np.concatenate([images for images, _ in data.eval])
    np.testing.assert_array_equal(evaluated, preprocess(tf.cast(pixels, tf.float32)))


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


def test_balanced_weights_give_each_class_with_images_equal_total():
    labels = np.repeat([0, 2], [30, 10])
    config = TrainConfig(class_weights='balanced')
    weights = class_weights(config, ('cats', 'dogs', 'foxes'), labels)
    np.testing.assert_allclose(weights, [20 / 30, 0, 20 / 10], rtol=1e-6)  # float32


def test_batch_size_is_divisible_by_replicas(monkeypatch):
    strategy = type('FiveDevices', (), {'num_replicas_in_sync': 5})
    monkeypatch.setattr(tf.distribute, 'get_strategy', lambda: strategy)
    data = numbered(48, batch_size=7)
    assert next(iter(data.train))[0].shape[0] == 5
    assert data.steps == 48 // 5
