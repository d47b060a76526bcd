"""Size and limits of the activation cache."""

import shutil
from collections import namedtuple

import pytest

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.data.cache_plan import plan_cache
from trainer.model.backbone import build_backbone

COUNTS = {'train': 100, 'eval': 20, 'test': 20}
AUGMENT = {'flip': True, 'cached_views': 3}
# Bytes per record: 1280 pooled features and a boundary of 1 x 1 x 56 in float16, or an image in
# uint8, each with a label.
POOLED, BOUNDARY, IMAGE = 1280 * 2 + 4, 56 * 2 + 4, 32 * 32 * 3 + 4


def plan(tmp_path, **changes):
    small = {
        'image_size': 32,
        'alpha': 0.35,
        'weights': 'random',
        'fine_tune': {'epochs': 1, 'from_layer': 'block_14_expand'},
    }
    config = TrainConfig.model_validate({**small, **changes})
    return plan_cache(config, build_backbone(config), COUNTS, tmp_path)


@pytest.mark.parametrize(
    ('changes', 'size'),
    [
        pytest.param({}, 120 * (POOLED + BOUNDARY), id='both stages'),
        pytest.param(
            {'augment': AUGMENT, 'feature_extraction': {'epochs': 5}},
            320 * (POOLED + BOUNDARY),
            id='three views of training images',
        ),
        pytest.param(
            {
                'augment': AUGMENT,
                'feature_extraction': {'epochs': 0},
                'fine_tune': {'epochs': 1, 'from_layer': 0},
            },
            120 * IMAGE,
            id='images without views',
        ),
        pytest.param(
            {
                'augment': AUGMENT,
                'feature_extraction': {'epochs': 3},
                'fine_tune': {'epochs': 1, 'from_layer': 0},
            },
            120 * IMAGE + 320 * POOLED,
            id='views for the head, images for fine-tuning',
        ),
    ],
)
def test_size_counts_all_cached_records(tmp_path, changes, size):
    assert plan(tmp_path, **changes).size == size


def test_views_are_limited_to_the_number_of_epochs(tmp_path):
    assert plan(tmp_path, augment=AUGMENT, feature_extraction={'epochs': 2}).views == 2


def test_formats_plan_for_the_console(tmp_path):
    assert str(plan(tmp_path, augment=AUGMENT)) == (
        'activation cache: 3 views of 100 images and 1 of 20, 0.9 MB on disk (limit 20.0 GB)'
    )


def test_rejects_cache_above_the_limit(tmp_path):
    with pytest.raises(ConfigError, match=r'0.3 MB on disk .limit 0.1 MB.: raise trainer.cache_g'):
        plan(tmp_path, max_cache_gb=1e-4)


def test_rejects_cache_above_free_disk_space(tmp_path, monkeypatch):
    usage = namedtuple('usage', 'total used free')(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)
    with pytest.raises(ConfigError, match=r'has 0.0 MB left: free disk space'):
        plan(tmp_path)
