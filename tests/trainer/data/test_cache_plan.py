"""Size and limits of the activation cache."""

import shutil
from collections import namedtuple

import pytest

from common.errors import ConfigError
from trainer.data.cache_plan import plan_cache, plan_stages

COUNTS = {'train': 100, 'eval': 20, 'test': 20}
NONE, ALL_LAYERS = {'epochs': 0}, {'epochs': 1, 'from_layer': 0}
AUGMENT = {'augment': {'flip': True, 'cached_views': 3}}
NEW_VIEWS = {'augment': {'flip': True, 'cached_views': 0}}
# Bytes per record: 16 features and 8 x 8 x 8 activations in float16, or an image in uint8, each
# with a label.
POOLED, BOUNDARY, IMAGE = 16 * 2 + 4, 8 * 8 * 8 * 2 + 4, 32 * 32 * 3 + 4


@pytest.fixture
def plan(small_job, tmp_path):
    """`plan(**changes)`: size per stage and view, number of views per stage, and description."""

    def make(**changes):
        job = small_job(**changes)
        backbone = job.build_network().backbone
        stages = plan_stages(job.config, backbone)
        text = plan_cache(job.config, backbone, COUNTS, tmp_path)
        return {key: (stage.record.itemsize, stage.views) for key, stage in stages.items()}, text

    return make


@pytest.mark.parametrize(
    ('changes', 'head', 'fine_tuning'),
    [
        ({}, (POOLED, 1), (BOUNDARY, 1)),
        (AUGMENT, (POOLED, 2), (BOUNDARY, 2)),  # at most as many views as epochs
        ({**AUGMENT, 'fine_tune': ALL_LAYERS}, (POOLED, 2), (IMAGE, 1)),
        ({**AUGMENT, 'fine_tune': ALL_LAYERS, 'feature_extraction': NONE}, None, (IMAGE, 1)),
        ({'fine_tune': NONE}, (POOLED, 1), None),
        (NEW_VIEWS, (IMAGE, 1), (IMAGE, 1)),
    ],
)
def test_plans_records_and_views_of_stages_with_epochs(plan, changes, head, fine_tuning):
    stages, text = plan(**changes)
    planned = {'feature_extraction': head, 'fine_tune': fine_tuning}
    assert stages == {key: stage for key, stage in planned.items() if stage}
    size = sum(record * (100 * views + 20) for record, views in set(stages.values()))
    views = '2 views' if head == (POOLED, 2) else '1 view'
    assert text == (
        f'activation cache: {views} of 100 images and 1 of 20, {size / 1e6:.1f} MB on disk '
        '(limit 20.0 GB)'
    )


def test_rejects_cache_above_the_limit_or_free_disk_space(plan, monkeypatch):
    with pytest.raises(ConfigError, match=r'0.1 MB on disk .limit 0.0 MB.: raise trainer.max_cach'):
        plan(max_cache_gb=1e-5)
    usage = namedtuple('usage', 'total used free')(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage)
    with pytest.raises(ConfigError, match=r'has 0.0 MB left: free disk space'):
        plan()
