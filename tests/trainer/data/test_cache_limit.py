"""Training data beyond the limit of the activation cache."""

import numpy as np
import pytest

from trainer.data import cache_plan, embedding

AUGMENT = {'flip': True, 'rotation': 0.2}
# Bytes per record: 16 features and 8 x 8 x 8 activations in float16, or an image in uint8, each
# with a label.
POOLED, BOUNDARY, IMAGE = 16 * 2 + 4, 8 * 8 * 8 * 2 + 4, 32 * 32 * 3 + 4
TRAIN, EVAL = 48, 24


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    for module in (cache_plan, embedding):
        monkeypatch.setattr(module, 'BATCH', 10)  # with incomplete ones


@pytest.fixture
def read_inputs(small_job, tmp_path):
    """`read_inputs(limit, **changes)`: batches by stage and split, and bytes of the cache."""

    def read(limit=10**9, **changes):
        job = small_job(**changes, max_cache_gb=limit / 1e9)
        with job.stage_inputs(job.build_network(), tmp_path) as inputs:
            size = sum(path.stat().st_size for path in tmp_path.rglob('*.records'))
            batches = {}
            for stage, splits in inputs.items():
                batches[stage, 'train'] = [*splits['train'].shuffled_batches(7, 3, seed=1)]
                batches[stage, 'eval'] = [*splits['eval'].batches(7)]
        return batches, size

    return read


@pytest.mark.parametrize(
    ('changes', 'limit'),
    [
        pytest.param({'augment': AUGMENT}, 70 * BOUNDARY, marks=pytest.mark.slow),  # two views
        # A part of the head's features and nothing for fine-tuning.
        pytest.param({'augment': AUGMENT}, 60 * POOLED, marks=pytest.mark.slow),
        pytest.param(
            {'augment': {**AUGMENT, 'cached_views': 0}}, 50 * IMAGE, marks=pytest.mark.slow
        ),
    ],
)
def test_limit_changes_neither_content_nor_order_of_batches(read_inputs, changes, limit):
    complete, needed = read_inputs(**changes)
    limited, size = read_inputs(limit, **changes)
    assert limit - 10 * max(2 * BOUNDARY, IMAGE) < size <= limit < needed
    for key, batches in complete.items():
        assert len(limited[key]) == len(batches)
        for (tensors, labels), (expected, expected_labels) in zip(
            limited[key], batches, strict=True
        ):
            np.testing.assert_allclose(tensors, expected, rtol=2e-3, atol=1e-3)  # float16
            np.testing.assert_array_equal(labels, expected_labels)
