"""Batches of a stage: scaling, labels, mixup and class weights."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.data.activation_cache import CacheWriter
from trainer.data.augmentation import mix_up
from trainer.data.stage_data import class_weights, make_stage_data


def first_batch(make_job, **changes):
    job = make_job(**changes)
    data = make_stage_data(job.splits, 'image', 1, job.config, job.classes)
    return [tensor.numpy() for tensor in next(iter(data.train))]


def test_scales_images_to_the_range_of_the_backbone(small_job):
    images, labels = first_batch(small_job)
    assert images.shape == (8, 32, 32, 3)
    assert images.dtype == np.float32
    assert -1 <= images.min() < images.max() <= 1
    assert labels.shape == (8, 1)


@pytest.mark.parametrize('level', ['image', 'pooled'])
def test_labels_of_three_classes_are_one_hot(level, job_of_three, tmp_path):
    job = job_of_three()
    splits, expected = job.splits, job.splits['eval'].labels()
    if level == 'pooled':
        writer = CacheWriter(tmp_path, 'pooled', 1, 'float16')
        writer.append(0, np.zeros((len(expected), 4)), expected)
        splits = dict.fromkeys(job.splits, writer.finish())
    data = make_stage_data(splits, level, 1, job.config, job.classes)
    labels = np.concatenate([labels for _, labels in data.eval])
    np.testing.assert_array_equal(labels, np.eye(3)[expected])
    assert labels.dtype == np.float32
    assert next(iter(data.train))[1].shape == (8, 3)


def test_mixup_makes_labels_soft(job_of_any):
    _, labels = first_batch(job_of_any, augment={'mixup': 1.0})
    assert ((labels >= 0) & (labels <= 1)).all()
    assert ((labels > 0) & (labels < 1)).any()
    if labels.shape[-1] > 1:
        np.testing.assert_allclose(labels.sum(axis=-1), 1, rtol=1e-6)


def test_mixup_blends_inputs_and_labels_with_equal_weights():
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


@pytest.mark.parametrize('counts', [(30, 10), (30, 0, 10)])
def test_balanced_weights_give_each_class_equal_total(counts):
    config = TrainConfig(class_weights='balanced')
    weights = class_weights(config, ('cats', 'dogs', 'foxes')[: len(counts)], Labels(*counts))
    np.testing.assert_allclose(weights * counts, [20 if count else 0 for count in counts])


def test_weights_by_name_follow_the_order_of_the_classes():
    config = TrainConfig(class_weights={'dogs': 3, 'cats': 1})
    weights = class_weights(config, ('cats', 'dogs'), Labels(1, 1))
    np.testing.assert_array_equal(weights, [1, 3])


def test_sample_weights_are_those_of_the_class(small_job):
    _, labels, weights = first_batch(small_job, class_weights={'dogs': 3, 'cats': 1})
    np.testing.assert_array_equal(weights, 1 + 2 * labels)


def test_sample_weights_are_those_of_one_of_three_classes(job_of_three):
    _, labels, weights = first_batch(
        job_of_three, class_weights={'dogs': 3, 'cats': 1, 'foxes': 0.5}
    )
    np.testing.assert_array_equal(weights, labels @ np.array([[1], [3], [0.5]]))


def test_batch_size_is_divisible_by_replicas(small_job, monkeypatch):
    strategy = type('TwoDevices', (), {'num_replicas_in_sync': 2})
    monkeypatch.setattr(tf.distribute, 'get_strategy', lambda: strategy)
    job = small_job(batch_size=7)
    held_out = dataclasses.replace(job.splits['eval'], count=23)
    splits = {**job.splits, 'eval': held_out}
    data = make_stage_data(splits, 'image', 1, job.config, job.classes)
    assert next(iter(data.train))[0].shape[0] == 6
    assert data.steps == 88 // 6
    assert next(iter(data.eval))[0].shape[0] == 22


def test_split_returns_all_labels(small_job):
    split = small_job().splits['train']
    assert len(split.labels()) == split.count
    assert set(split.labels()) == {0, 1}
