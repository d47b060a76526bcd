"""Content, reuse, limits and disk space of the activation cache."""

import dataclasses
import os
import shutil
from collections import namedtuple

import numpy as np
import pytest
import tensorflow as tf

from common.errors import ConfigError
from trainer.data import activation_cache
from trainer.data.activation_cache import ActivationCache, check_space
from trainer.data.dataset import open_splits
from trainer.data.tensors import plan_inputs

COUNTS = {'train': 100, 'eval': 20}
NONE, ALL_LAYERS = {'epochs': 0}, {'epochs': 1, 'from_layer': 0}
AUGMENT = {'augment': {'flip': True, 'rotation': 0.1, 'cached_views': 3}}
FLIPS = {'augment': {'flip': True, 'cached_views': 3}}
FIVE = {'feature_extraction': {'epochs': 5}}
NEW_VIEWS = {'augment': {'flip': True, 'cached_views': 0}}
# Bytes per record: 16 features and 8 x 8 x 8 activations in float16, or an image in uint8, each
# with a label.
POOLED, BOUNDARY, IMAGE = 16 * 2 + 4, 8 * 8 * 8 * 2 + 4, 32 * 32 * 3 + 4


@pytest.fixture
def inputs_of(tmp_path):
    """`inputs_of(job)`: input of each stage, and the number of entries that were computed."""

    def make(job):
        written = []
        write = ActivationCache._write
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                ActivationCache,
                '_write',
                lambda cache, *names: (written.append(names), write(cache, *names)),
            )
            return job.inputs(job.build_network(), tmp_path / 'activations'), len(written)

    return make


def values_of(tensors, view=0):
    batches = tensors.views[view].batch(100).map(tensors.decode)
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
    ],
)
def test_plans_tensors_and_views_of_stages_with_epochs(small_job, changes, head, fine_tuning):
    job = small_job(**changes)
    planned = plan_inputs(job.config, job.build_network().backbone)
    found = {key: (each.record.itemsize, each.views) for key, each in planned.items()}
    expected = {'feature_extraction': head, 'fine_tune': fine_tuning}
    assert found == {key: each for key, each in expected.items() if each}
    for each in planned.values():
        assert each.bytes(COUNTS) == each.record.itemsize * (100 * each.views + 20)


@pytest.mark.parametrize('fine_tune', [{}, {'fine_tune': NONE}], ids=['two stages', 'head alone'])
def test_holds_what_the_frozen_layers_compute(small_job, inputs_of, fine_tune):
    job = small_job(**FLIPS, **fine_tune)
    inputs, _ = inputs_of(job)
    backbone = job.build_network().backbone
    images = next(iter(job.splits['train'].batches(48)))[0].numpy().astype(np.float32)
    for view, pixels in enumerate((images, images[:, :, ::-1])):
        feature_map = backbone.model(backbone.preprocess(tf.constant(pixels)), training=False)
        pooled = np.mean(feature_map, axis=(1, 2))
        found = values_of(inputs['feature_extraction']['train'], view)
        np.testing.assert_allclose(found, pooled, rtol=5e-3, atol=2e-3)  # float16


def test_trainings_share_what_the_frozen_layers_compute(small_job, inputs_of):
    first = {'augment': {'flip': True, 'rotation': 0.1, 'cached_views': 2}}
    assert inputs_of(small_job(**first))[1] == 2 + 1  # views of 'train', and 'eval'
    assert inputs_of(small_job(**first, class_weights='balanced', batch_size=4))[1] == 0
    assert inputs_of(small_job(augment={'flip': True}))[1] == 2  # 'train' alone
    other_cut = {'epochs': 2, 'from_layer': 'block_1_expand'}
    assert inputs_of(small_job(fine_tune=other_cut))[1] == 2


def test_new_span_computes_only_its_own_images(small_job, inputs_of, tmp_path):
    job = small_job()
    inputs_of(job)
    files = job.splits['train'].record_files.files
    new = tmp_path / 'span-2' / 'train-0'
    new.parent.mkdir()
    shutil.copy(files[0], new)
    patterns = {'train': [*map(str, files), str(new)], 'eval': []}
    splits = {**job.splits, 'train': open_splits(patterns, job.transform)['train']}
    inputs, written = inputs_of(dataclasses.replace(job, splits=splits))
    assert written == 1
    assert len(values_of(inputs['fine_tune']['train'])) == 48 + 24


def test_files_mix_the_plain_image_and_augmented_views(small_job, inputs_of, monkeypatch):
    monkeypatch.setattr(activation_cache, 'BATCH', 10)  # with an incomplete one
    plain = values_of(inputs_of(small_job())[0]['fine_tune']['train'])
    augment = {'flip': True, 'rotation': 0.2, 'cached_views': 2}
    tensors = inputs_of(small_job(augment=augment))[0]['fine_tune']['train']
    for file in range(2):
        values = values_of(tensors, file)
        same = np.isclose(values, plain, rtol=2e-3, atol=1e-3).all(axis=(1, 2, 3))
        assert same.tolist() == [(file + number // 10) % 2 == 0 for number in range(48)]


def test_augmented_views_differ_and_are_repeatable(small_job, inputs_of, tmp_path):
    job = small_job(augment={'rotation': 0.3, 'brightness': 0.2, 'cached_views': 2})
    tensors = inputs_of(job)[0]['fine_tune']['train']
    plain, turned = values_of(tensors), values_of(tensors, 1)
    assert not np.allclose(plain, turned, atol=0.01)
    shutil.rmtree(tmp_path / 'activations')
    again = values_of(inputs_of(job)[0]['fine_tune']['train'], 1)
    np.testing.assert_allclose(again, turned, rtol=2e-3, atol=1e-3)


def test_incomplete_entry_is_computed_again(small_job, inputs_of, monkeypatch, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(activation_cache.Path, 'replace', stop)
        with pytest.raises(KeyboardInterrupt):
            inputs_of(small_job())
    assert not [*(tmp_path / 'activations').iterdir()]
    assert inputs_of(small_job())[1] == 2


def test_truncated_file_is_computed_again(small_job, inputs_of, tmp_path):
    expected = values_of(inputs_of(small_job())[0]['fine_tune']['train'])
    file = max((tmp_path / 'activations').iterdir(), key=lambda each: each.stat().st_size)
    os.truncate(file, BOUNDARY * 10)
    inputs, written = inputs_of(small_job())
    assert written == 1
    np.testing.assert_allclose(values_of(inputs['fine_tune']['train']), expected, atol=1e-3)


def test_reports_activations_beyond_float16(small_job, tmp_path):
    job = small_job()
    network = job.build_network()
    norm = network.backbone.model.get_layer('block_1_project_BN')
    norm.gamma.assign(1e9 * np.ones(norm.gamma.shape))
    with pytest.raises(ConfigError, match=r'not finite in float16, .* set trainer.cache to off$'):
        job.inputs(network, tmp_path / 'activations')
    assert not [*(tmp_path / 'activations').iterdir()]


def test_oldest_entries_go_beyond_the_limit(small_job, inputs_of, tmp_path):
    inputs_of(small_job())
    first = {each.name for each in (tmp_path / 'activations').iterdir()}
    size = sum(each.stat().st_size for each in (tmp_path / 'activations').iterdir())
    inputs_of(small_job(seed=1, max_cache_gb=1.5 * size / 1e9))
    left = {each.name for each in (tmp_path / 'activations').iterdir()}
    assert 4 <= len(left) < 8  # two splits and kinds
    assert first - left


@pytest.mark.parametrize(
    ('free', 'limit', 'message'),
    [
        (1000, 20, r'has 0.0 MB left, .* needs 0.1 MB: free disk space, lower trainer'),
        (10**12, 1e-5, r'trainer.max_cache_gb is 1e-05, .* needs 0.1 MB: raise it'),
    ],
)
def test_reports_a_cache_that_is_too_large(small_job, tmp_path, monkeypatch, free, limit, message):
    usage = namedtuple('usage', 'total used free')(10**12, 10**12 - free, free)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)
    job = small_job(max_cache_gb=limit)
    planned = plan_inputs(job.config, job.build_network().backbone)
    with pytest.raises(ConfigError, match=message):
        check_space(job.config, planned, COUNTS, tmp_path / 'not yet')
