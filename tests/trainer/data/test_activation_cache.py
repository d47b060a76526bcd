"""Content, reuse, limits and disk space of the activation cache."""

import dataclasses
import os
import shutil
from collections import namedtuple

import numpy as np
import pytest
import tensorflow as tf

from common.errors import ConfigError
from trainer.data.activation_cache import check_space
from trainer.data.dataset import open_splits
from trainer.data.tensors import plan_inputs

COUNTS = {'train': 100, 'eval': 20}
NONE, ALL_LAYERS = {'epochs': 0}, {'epochs': 1, 'from_layer': 0}
AUGMENT = {'augment': {'flip': True, 'rotation': 0.1, 'cached_views': 3}}
FLIPS = {'augment': {'flip': True, 'cached_views': 3}}
FIVE = {'feature_extraction': {'epochs': 5}}
NEW_VIEWS = {'augment': {'flip': True, 'cached_views': 0}}
# Bytes per image: 16 features and 8 x 8 x 8 activations in float16, or pixels in uint8.
POOLED, BOUNDARY, IMAGE = 16 * 2, 8 * 8 * 8 * 2, 32 * 32 * 3


@pytest.fixture
def inputs_of(tmp_path):
    """`inputs_of(job)`: input of each stage, and the number of images that were computed."""

    def make(job):
        inputs = job.inputs(job.build_network(), tmp_path / 'activations')
        parts = job.timings._parts
        return inputs, sum(parts[f'embedding of {split}']['images'] for split in job.splits)

    return make


@pytest.fixture
def files(tmp_path):
    """`files()` of the cache, by name."""
    return lambda: {file.name: file for file in (tmp_path / 'activations').iterdir()}


def values_of(tensors, view=0):
    batches = tensors.load(tf.data.Dataset.range(tensors.count).batch(10), view)
    return np.concatenate([values.numpy() for values, _ in batches]).astype(np.float32)


@pytest.mark.parametrize(
    ('changes', 'head', 'fine_tuning'),
    [
        ({}, (POOLED, 1), (BOUNDARY, 1)),
        (AUGMENT, (POOLED, 2), (BOUNDARY, 2)),  # at most as many views as epochs
        (AUGMENT | FIVE, (POOLED, 3), (BOUNDARY, 3)),
        (FLIPS | FIVE, (POOLED, 2), (BOUNDARY, 2)),  # an image and its mirror image
        ({**AUGMENT, 'fine_tune': ALL_LAYERS}, (POOLED, 2), (IMAGE, 1)),
        ({**AUGMENT, 'fine_tune': ALL_LAYERS, 'feature_extraction': NONE}, None, (IMAGE, 1)),
        ({'fine_tune': NONE}, (POOLED, 1), None),
        (NEW_VIEWS, (IMAGE, 1), (IMAGE, 1)),
        ({'augment': {'cached_views': 0}}, (IMAGE, 1), (IMAGE, 1)),
    ],
)
def test_plans_tensors_and_views_of_stages_with_epochs(small_job, changes, head, fine_tuning):
    job = small_job(**changes)
    planned = plan_inputs(job.config, job.build_network().backbone)
    found = {key: (each.bytes(1), each.views) for key, each in planned.items()}
    expected = {'feature_extraction': head, 'fine_tune': fine_tuning}
    assert found == {key: each for key, each in expected.items() if each}


def features_of(backbone, images):
    feature_map = backbone.model(backbone.preprocess(tf.constant(images)), training=False)
    return np.mean(feature_map, axis=(1, 2))


def test_epochs_mix_what_the_frozen_layers_compute_of_both_views(small_job, inputs_of):
    job = small_job(**FLIPS)
    inputs, _ = inputs_of(job)
    backbone = job.build_network().backbone
    images = next(iter(job.splits['train'].batches(48)))[0].numpy().astype(np.float32)
    views = [features_of(backbone, pixels) for pixels in (images, images[:, :, ::-1])]
    for epoch in range(2):
        expected = [views[(epoch + place) % 2][place] for place in range(48)]
        found = values_of(inputs['feature_extraction']['train'], epoch)
        np.testing.assert_allclose(found, expected, rtol=5e-3, atol=2e-3)  # float16


def test_trainings_share_what_the_frozen_layers_compute(small_job, inputs_of):
    first = {'augment': {'flip': True, 'rotation': 0.1, 'cached_views': 2}}
    assert inputs_of(small_job(**first))[1] == 2 * 48 + 24  # views of 'train', and 'eval'
    assert inputs_of(small_job(**first, class_weights='balanced', batch_size=4))[1] == 0
    assert inputs_of(small_job())[1] == 0
    assert inputs_of(small_job(augment={'flip': True}))[1] == 48  # the mirror images
    other_cut = {'epochs': 2, 'from_layer': 'block_1_expand'}
    assert inputs_of(small_job(fine_tune=other_cut))[1] == 48 + 24
    assert inputs_of(small_job(resize='crop'))[1] == 48 + 24


def test_another_head_of_the_network_keeps_what_is_below(small_job, files, tmp_path):
    job = small_job()
    network = job.build_network()
    job.inputs(network, tmp_path / 'activations')
    before = files()
    layer = network.backbone.model.get_layer('Conv_1')
    layer.set_weights([2 * weights for weights in layer.get_weights()])

    inputs = job.inputs(network, tmp_path / 'activations')

    assert {name.partition('.')[2] for name in files().keys() - before.keys()} == {'pooled'}
    images = next(iter(job.splits['eval'].batches(24)))[0].numpy().astype(np.float32)
    found = values_of(inputs['feature_extraction']['eval'])
    expected = features_of(network.backbone, images)
    np.testing.assert_allclose(found, expected, rtol=5e-3, atol=2e-3)


def test_new_span_computes_only_its_own_images(small_job, inputs_of, tmp_path):
    job = small_job()
    before = values_of(inputs_of(job)[0]['fine_tune']['train'])
    first = [*job.splits['train'].tables]
    new = tmp_path / 'span-2' / 'train-0'
    new.parent.mkdir()
    shutil.copy(first[0], new)
    train = open_splits({'train': [*map(str, first), str(new)]}, job.transform)['train']
    job = dataclasses.replace(small_job(), splits={**job.splits, 'train': train})
    inputs, computed = inputs_of(job)
    values = values_of(inputs['fine_tune']['train'])
    assert (computed, len(values)) == (24, 48 + 24)
    old, added = (values[:48], values[48:])
    if new.parent < first[0].parent:
        added, old = values[:24], values[24:]
    np.testing.assert_array_equal(old, before)
    np.testing.assert_allclose(added, before[:24], rtol=2e-3, atol=1e-3)


def test_views_differ_and_truncated_ones_are_computed_again(small_job, inputs_of, files):
    augment = {'rotation': 0.3, 'brightness': 0.2, 'cached_views': 2}
    tensors = inputs_of(small_job(augment=augment))[0]['fine_tune']['train']
    first, second = values_of(tensors), values_of(tensors, 1)
    assert not any(np.allclose(*pair, atol=0.01) for pair in zip(first, second, strict=True))
    for file in files().values():
        if file.stat().st_size == 48 * BOUNDARY:  # of 'train'
            os.truncate(file, 10 * BOUNDARY)
    inputs, computed = inputs_of(small_job(augment=augment))
    assert computed == 2 * 48
    again = values_of(inputs['fine_tune']['train'], 1)
    np.testing.assert_allclose(again, second, rtol=2e-3, atol=1e-3)


def test_reports_activations_beyond_float16(small_job, files, tmp_path):
    job = small_job()
    network = job.build_network()
    layer = network.backbone.model.get_layer('block_1_project')
    layer.set_weights([1e9 * weights for weights in layer.get_weights()])
    with pytest.raises(ConfigError, match=r'not finite in float16, .*cached_views to 0'):
        job.inputs(network, tmp_path / 'activations')
    assert not files()


def test_oldest_entries_go_beyond_the_limit(small_job, inputs_of, files):
    inputs_of(small_job())
    first = files()
    size = sum(each.stat().st_size for each in first.values())
    inputs_of(small_job(seed=1, max_cache_gb=1.5 * size / 1e9))
    assert 4 <= len(files()) < 8  # two splits and kinds
    assert first.keys() - files().keys()


@pytest.mark.parametrize(
    ('free', 'limit', 'message'),
    [
        (1000, 20, 'has room for 0.0000 GB: free disk space'),
        (10**12, 1e-5, r'needs 0.0001 GB, .*, raise trainer.max_cache_gb \(1e-05\), or lower'),
    ],
)
def test_reports_a_cache_that_is_too_large(small_job, tmp_path, monkeypatch, free, limit, message):
    usage = namedtuple('usage', 'total used free')(10**12, 10**12 - free, free)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)
    job = small_job(max_cache_gb=limit)
    planned = plan_inputs(job.config, job.build_network().backbone)
    with pytest.raises(ConfigError, match=message):
        check_space(job.config, planned, COUNTS, tmp_path / 'not yet')
