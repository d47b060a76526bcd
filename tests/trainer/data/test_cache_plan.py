"""Size and limits of the activation cache."""

import shutil
from collections import namedtuple

import numpy as np
import pytest
import tensorflow as tf

from common.errors import ConfigError
from trainer.data import cache_plan
from trainer.data.cache_plan import CachePlan, plan_cache
from trainer.data.embedding import Embedder

COUNTS = {'train': 100, 'eval': 20, 'test': 20}
NONE, ALL_LAYERS = {'epochs': 0}, {'epochs': 1, 'from_layer': 0}
AUGMENT = {'augment': {'flip': True, 'rotation': 0.1, 'cached_views': 3}}
FLIPS = {'augment': {'flip': True, 'cached_views': 3}}
FIVE = {'feature_extraction': {'epochs': 5}}
NEW_VIEWS = {'augment': {'flip': True, 'cached_views': 0}}
# Bytes per record: 16 features and 8 x 8 x 8 activations in float16, or an image in uint8, each
# with a label.
POOLED, BOUNDARY, IMAGE = 16 * 2 + 4, 8 * 8 * 8 * 2 + 4, 32 * 32 * 3 + 4


@pytest.fixture
def plan(small_job, tmp_path):
    """`plan(**changes)`: the plan of the cache of 100 training and 20 validation images."""

    def make(**changes):
        job = small_job(**changes)
        return plan_cache(job.config, job.build_network().backbone, COUNTS, tmp_path)

    return make


@pytest.fixture
def limit_disk(monkeypatch):
    """`limit_disk(free)`: limits the free disk space to a number of bytes."""

    def limit(free):
        usage = namedtuple('usage', 'total used free')(10**12, 10**12 - free, free)
        monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)

    return limit


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
def test_plans_records_and_views_of_stages_with_epochs(plan, changes, head, fine_tuning):
    made = plan(**changes)
    stages = {key: (stage.record.itemsize, stage.views) for key, stage in made.stages.items()}
    planned = {'feature_extraction': head, 'fine_tune': fine_tuning}
    assert stages == {key: stage for key, stage in planned.items() if stage}
    assert all(batches.all() for batches in made.held.values())
    size = sum(record * (100 * views + 20) for record, views in set(stages.values()))
    views = f'{head[1]} views' if head and head[1] > 1 else '1 view'
    assert str(made) == (
        f'activation cache: {views} of 100 images and 1 of 20, {size / 1e6:.1f} MB on disk '
        '(limit 20.0 GB)'
    )


def test_head_and_validation_come_before_training_images(plan, monkeypatch):
    monkeypatch.setattr(cache_plan, 'BATCH', 10)
    made = plan(max_cache_gb=(120 * POOLED + 20 * BOUNDARY + 59 * BOUNDARY) / 1e9)
    head, fine_tuning = made.stages.values()
    for complete in (('train', head), ('eval', head), ('eval', fine_tuning)):
        assert made.held[complete].all()
    assert made.held['train', fine_tuning].sum() == 5
    assert str(made) == (
        'activation cache: 1 view of 100 images and 1 of 20, 0.1 MB of 0.1 MB on disk '
        '(limit 0.1 MB); stage 2: 50 training images held, 50 recomputed in each epoch'
    )


@pytest.mark.parametrize('held', [0, 1, 3, 7, 10])
def test_cached_batches_are_spread_evenly(plan, monkeypatch, held):
    monkeypatch.setattr(cache_plan, 'BATCH', 10)
    made = plan(fine_tune=NONE, max_cache_gb=(20 + 10 * held + 1) * POOLED / 1e9)
    mask = made.held['train', made.stages['feature_extraction']]
    assert mask.sum() == held
    assert np.abs(np.cumsum(mask) - np.arange(1, 11) * held / 10).max() < 1


def test_counts_images_of_incomplete_batches():
    plan = CachePlan({}, {'train': 100}, {}, '')
    assert plan.images('train', np.array([0, 1])) == 100
    assert plan.images('train', np.array([False, True])) == 100 - 64


def test_describes_images_that_both_stages_read(plan, monkeypatch):
    monkeypatch.setattr(cache_plan, 'BATCH', 10)
    text = str(plan(**NEW_VIEWS, max_cache_gb=1e-12))
    assert text.endswith(
        '; stages 1 and 2: 0 validation images held, 20 decoded in each epoch'
        '; stages 1 and 2: 0 training images held, 100 decoded in each epoch'
    )


def test_leaves_a_tenth_of_the_free_disk_space(plan, limit_disk, monkeypatch):
    monkeypatch.setattr(cache_plan, 'BATCH', 10)
    limit_disk(100 * POOLED)
    made = plan(fine_tune=NONE)
    batches = made.held['train', made.stages['feature_extraction']]
    assert batches.sum() == 7  # and 20 validation images
    assert '(limit 0.0 MB, 90% of the free disk space); stage 1: 70 training' in str(made)


def test_rejects_full_disk(plan, limit_disk):
    limit_disk(100)
    with pytest.raises(ConfigError, match=r'has 0.0 MB left, .*: free disk space, or set trainer'):
        plan()


def test_second_view_of_flips_alone_is_the_mirror_image(small_job, tmp_path):
    job = small_job(augment={'flip': True})
    backbone = job.build_network().backbone
    plan = plan_cache(job.config, backbone, COUNTS, tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
    view = Embedder(backbone, job.config, tmp_path, plan)._view(tf.constant(images), 0, 1)
    np.testing.assert_array_equal(view, images[:, :, ::-1])
