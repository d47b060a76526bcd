"""Batches of a stage: scaling, labels and class weights."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.data import dataset, stage_data
from trainer.data.activation_cache import CachedTensors, CacheWriter, record_type
from trainer.data.stage_data import class_weights, make_stage_data


def stage_data_of(job):
    return make_stage_data(job.splits, 1, job.config, job.classes, from_images=True)


def first_batch(job):
    return [tensor.numpy() for tensor in next(iter(stage_data_of(job).train))]


@pytest.mark.parametrize('augment', [{}, {'flip': True, 'rotation': 0.2}])
def test_scales_images_to_the_range_of_the_backbone(small_job, augment):
    images, labels = first_batch(small_job(augment=augment))
    assert (images.shape, images.dtype) == ((8, 32, 32, 3), np.float32)
    assert -1 <= images.min() < images.max() <= 1
    assert labels.shape == (8, 1)
    assert (images.mean(axis=(1, 2, 3)) > 0).tolist() == labels.ravel().tolist()


@pytest.mark.parametrize('from_images', [True, False])
def test_labels_of_three_classes_are_one_hot(from_images, job_of_three, tmp_path):
    job = job_of_three()
    splits, expected = job.splits, job.splits['train'].labels.astype(int)
    if not from_images:
        record = record_type('float16', (4,))
        writer = CacheWriter(tmp_path, 1, record)
        writer.append(0, np.zeros((len(expected), 4)), expected)
        splits = dict.fromkeys(job.splits, CachedTensors(writer.finish(), expected, record))
    data = make_stage_data(splits, 1, job.config, job.classes, from_images=from_images)
    labels = np.concatenate([labels for _, labels in data.train.take(data.steps)])
    assert sorted(labels.tolist()) == sorted(np.eye(3)[expected].tolist())
    assert labels.dtype == np.float32


@pytest.mark.parametrize('counts', [(30, 10), (30, 0, 10)])
def test_balanced_weights_give_each_class_equal_total(counts):
    labels = np.repeat(np.arange(len(counts)), counts).astype('float32')
    classes = ('cats', 'dogs', 'foxes')[: len(counts)]
    weights = class_weights(TrainConfig(class_weights='balanced'), classes, labels)
    expected = [20 if count else 0 for count in counts]
    np.testing.assert_allclose(weights * counts, expected, rtol=1e-6)  # float32


def test_sample_weights_are_those_of_the_class(small_job, job_of_three):
    named = {'dogs': 3, 'cats': 1}
    _, labels, weights = first_batch(small_job(class_weights=named))
    np.testing.assert_array_equal(weights, 1 + 2 * labels)
    _, labels, weights = first_batch(job_of_three(class_weights={**named, 'foxes': 0.5}))
    np.testing.assert_array_equal(weights, labels @ np.array([[1], [3], [0.5]]))


def test_each_epoch_draws_new_views_without_cached_views(small_job, tmp_path):
    job = small_job(augment={'flip': True, 'rotation': 0.2, 'cached_views': 0})
    with job.stage_inputs(job.build_network(), tmp_path) as inputs:
        assert len([*tmp_path.rglob('*.records')]) == 2  # train and eval, for both stages
        splits = inputs['feature_extraction']
        assert splits['train'].are_images
        data = make_stage_data(splits, 2, job.config, job.classes, from_images=True)
        batches = [images.numpy() for images, _ in data.train.take(2 * data.steps)]
    images = {image.tobytes() for image in np.concatenate(batches)}
    assert len(images) == 2 * 48


@pytest.mark.slow
@pytest.mark.parametrize('most_passes', [60, 2])
def test_finished_epochs_are_left_out(small_job, monkeypatch, most_passes):
    """Also if passes over the data are repeated, whose order depends on those before."""
    for module in (dataset, stage_data):
        monkeypatch.setattr(module, 'MAX_PASSES', most_passes)
    job = small_job(augment={'flip': True, 'rotation': 0.2, 'cached_views': 0})

    def batches_after(finished):
        data = make_stage_data(
            job.splits, 5, job.config, job.classes, from_images=True, finished=finished
        )
        return [images.numpy() for images, _ in data.train.take((5 - finished) * data.steps)]

    complete = np.concatenate(batches_after(0))
    np.testing.assert_allclose(np.concatenate(batches_after(3)), complete[3 * 48 :], atol=1e-6)
    assert batches_after(5) == []  # interrupted between the last epoch and the export


def test_batch_size_is_divisible_by_replicas(small_job, monkeypatch):
    strategy = type('FiveDevices', (), {'num_replicas_in_sync': 5})
    monkeypatch.setattr(tf.distribute, 'get_strategy', lambda: strategy)
    data = stage_data_of(small_job(batch_size=7))
    assert next(iter(data.train))[0].shape[0] == 5
    assert data.steps == 48 // 5
    assert next(iter(data.eval))[0].shape[0] == 20  # of 24 images
