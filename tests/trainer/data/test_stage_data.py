"""What a stage reads: mixed pairs, weighed classes, images or activations."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from trainer.data.activation_cache import CacheWriter
from trainer.data.augmentation import mix_up
from trainer.data.embedding import Embedded
from trainer.data.stage_data import class_weights, from_cache, from_images


def first_batch(small_job, **changes):
    job = small_job(**changes)
    data = from_images(job.splits, 1, job.config, job.classes)
    return [tensor.numpy() for tensor in next(iter(data.train))]


def test_images_are_scaled_to_what_the_backbone_expects(small_job):
    images, labels = first_batch(small_job)
    assert images.shape == (8, 32, 32, 3)
    assert images.dtype == np.float32
    assert -1 <= images.min() < images.max() <= 1
    assert labels.shape == (8, 1)


def test_labels_of_three_classes_are_one_hot(job_of_three, tmp_path):
    job = job_of_three()
    images = from_images(job.splits, 1, job.config, job.classes)
    expected = job.splits['eval'].labels()
    writer = CacheWriter(tmp_path, 'pooled', 1, 'float16')
    writer.append(0, np.zeros((len(expected), 4)), expected)
    embedded = Embedded(writer.finish(), None)
    cache = from_cache(dict.fromkeys(job.splits, embedded), 'pooled', 1, job.config, job.classes)
    for data in (images, cache):
        labels = np.concatenate([labels for _, labels in data.eval])
        np.testing.assert_array_equal(labels, np.eye(3)[expected])
        assert labels.dtype == np.float32
        assert next(iter(data.train))[1].shape == (8, 3)


def test_mixed_labels_hold_the_share_of_each(job_of_any):
    _, labels = first_batch(job_of_any, augment={'mixup': 1.0})
    assert ((labels >= 0) & (labels <= 1)).all()
    assert ((labels > 0) & (labels < 1)).any()
    if labels.shape[-1] > 1:
        np.testing.assert_allclose(labels.sum(axis=-1), 1, rtol=1e-6)


def test_inputs_and_labels_are_mixed_by_the_same_shares():
    inputs = tf.eye(8)
    labels = tf.cast(tf.range(8) % 2, tf.float32)[:, tf.newaxis]
    mixed, mixed_labels = mix_up(inputs, labels, 0.4, tf.constant([1, 2]))
    np.testing.assert_allclose(tf.reduce_sum(mixed, 1), 1, rtol=1e-6)
    np.testing.assert_allclose(mixed_labels, mixed @ labels, atol=1e-6)
    assert (tf.linalg.diag_part(mixed).numpy() >= 0.5).all()
    again, _ = mix_up(inputs, labels, 0.4, tf.constant([1, 2]))
    np.testing.assert_array_equal(mixed, again)


class Labels:
    def __init__(self, *counts):
        self._labels = np.repeat(np.arange(len(counts)), counts).astype('float32')

    def labels(self):
        return self._labels


def test_balanced_weights_give_every_class_the_same_total(small_job):
    config = small_job(class_weights='balanced').config
    weights = class_weights(config, ('cats', 'dogs'), Labels(30, 10))
    np.testing.assert_allclose(weights, [40 / 60, 2.0])
    assert weights @ [30, 10] == pytest.approx(40)  # an image weighs 1 on the mean


def test_a_class_without_images_leaves_the_others_balanced(small_job):
    config = small_job(class_weights='balanced').config
    weights = class_weights(config, ('cats', 'dogs', 'foxes'), Labels(30, 0, 10))
    np.testing.assert_allclose(weights, [40 / 60, 0, 2.0])


def test_weights_by_name_follow_the_order_of_the_classes(small_job):
    config = small_job(class_weights={'dogs': 3, 'cats': 1}).config
    weights = class_weights(config, ('cats', 'dogs'), Labels(1, 1))
    np.testing.assert_array_equal(weights, [1, 3])


def test_an_image_weighs_what_its_class_does(small_job):
    _, labels, weights = first_batch(small_job, class_weights={'dogs': 3, 'cats': 1})
    np.testing.assert_array_equal(weights, 1 + 2 * labels)


def test_an_image_of_three_classes_weighs_what_its_class_does(job_of_three):
    _, labels, weights = first_batch(
        job_of_three, class_weights={'dogs': 3, 'cats': 1, 'foxes': 0.5}
    )
    np.testing.assert_array_equal(weights, labels @ np.array([[1], [3], [0.5]]))


def test_batches_divide_among_the_devices(small_job, monkeypatch):
    strategy = type('TwoDevices', (), {'num_replicas_in_sync': 2})
    monkeypatch.setattr(tf.distribute, 'get_strategy', lambda: strategy)
    job = small_job(batch_size=7)
    held_out = dataclasses.replace(job.splits['eval'], count=23)
    data = from_images({**job.splits, 'eval': held_out}, 1, job.config, job.classes)
    assert next(iter(data.train))[0].shape[0] == 6
    assert data.steps == 88 // 6
    assert next(iter(data.eval))[0].shape[0] == 22


def test_labels_are_counted_without_decoding(small_job):
    split = small_job().splits['train']
    assert len(split.labels()) == split.count
    assert set(split.labels()) == {0, 1}
