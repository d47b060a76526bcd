"""What the cache will take, and when that is refused."""

import shutil
from collections import namedtuple

import pytest

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.data.cache_plan import plan_cache
from trainer.model.backbone import build_backbone

COUNTS = {'train': 100, 'eval': 20, 'test': 20}
AUGMENT = {'flip': True, 'views': 3}


def planned(tmp_path, **changes):
    small = {
        'image_size': 32,
        'alpha': 0.35,
        'weights': 'random',
        'fine_tune': {'epochs': 1, 'from_layer': 'block_14_expand'},
    }
    config = TrainConfig.model_validate({**small, **changes})
    return plan_cache(config, build_backbone(config), COUNTS, tmp_path)


def test_pooled_features_and_activations_are_counted_in_float16(tmp_path):
    # 1280 pooled features and a boundary of 1 x 1 x 56, each with a label.
    assert planned(tmp_path).size == 120 * (1280 * 2 + 4 + 56 * 2 + 4)


def test_every_view_of_a_training_image_counts(tmp_path):
    plan = planned(tmp_path, augment=AUGMENT, feature_extraction={'epochs': 5})
    assert plan.size == 320 * (1280 * 2 + 4 + 56 * 2 + 4)


def test_no_more_views_are_drawn_than_epochs_see(tmp_path):
    assert planned(tmp_path, augment=AUGMENT, feature_extraction={'epochs': 2}).views == 2


def test_images_are_counted_in_bytes_and_once(tmp_path):
    stages = {'feature_extraction': {'epochs': 0}, 'fine_tune': {'epochs': 1, 'from_layer': 0}}
    assert planned(tmp_path, augment=AUGMENT, **stages).size == 120 * (32 * 32 * 3 + 4)


def test_the_head_has_views_even_where_fine_tuning_reads_images(tmp_path):
    stages = {'feature_extraction': {'epochs': 3}, 'fine_tune': {'epochs': 1, 'from_layer': 0}}
    images, pooled = 120 * (32 * 32 * 3 + 4), 320 * (1280 * 2 + 4)
    assert planned(tmp_path, augment=AUGMENT, **stages).size == images + pooled


def test_it_is_said_in_a_line(tmp_path):
    assert str(planned(tmp_path, augment=AUGMENT)) == (
        'activation cache: 3 views of 100 images and 1 of 20, 0.9 MB on disk (limit 20.0 GB)'
    )


def test_more_than_the_recipe_allows_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r'0.3 MB on disk .limit 0.1 MB.: raise trainer.cache_gig'
    ):
        planned(tmp_path, cache_gigabytes=1e-4)


def test_more_than_the_disk_has_is_refused(tmp_path, monkeypatch):
    usage = namedtuple('usage', 'total used free')(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)
    with pytest.raises(ConfigError, match=r'has 0.0 MB left: free some'):
        planned(tmp_path)
