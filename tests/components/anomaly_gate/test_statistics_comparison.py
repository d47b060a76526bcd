import numpy as np
import pytest

from components.anomaly_gate.config import ValidationConfig
from components.anomaly_gate.statistics_comparison import drift, skew

CONFIG = ValidationConfig()


@pytest.fixture(scope='module')
def before(statistics_of):
    return statistics_of()


def test_equal_distributions_have_no_drift(statistics_of, before):
    assert drift(4, statistics_of(seed=1), before, CONFIG) == ()


def test_describes_drift_with_span_and_limit(statistics_of, before):
    (clause,) = drift(4, statistics_of(seed=1, darker=0.6), before, CONFIG)

    assert clause.startswith('brightness of span 4 moved by 0.')
    assert clause.endswith(' (limit 0.2)')
    for limit in (None, 0.9):
        config = ValidationConfig.model_validate({'drift': {'brightness': limit}})
        assert drift(4, statistics_of(seed=1, darker=0.6), before, config) == ()


@pytest.mark.parametrize(
    ('columns', 'measure'),
    [
        ({'sharpness': np.full(200, 2.0)}, 'sharpness'),
        ({'colourfulness': np.zeros(200)}, 'colourfulness'),
        ({'contrast': np.linspace(0, 0.1, 200)}, 'contrast'),
        ({'bytes': np.arange(3000, 3200)}, 'bytes'),
        ({'width': np.full(200, 320)}, 'width'),
        ({'height': np.full(200, 240)}, 'height'),
        ({'aspect': np.full(200, 1.0)}, 'aspect'),
        ({'format': ['png'] * 200}, 'format'),
    ],
)
def test_compares_every_measure(statistics_of, before, columns, measure):
    (clause,) = drift(7, statistics_of(seed=1, **columns), before, CONFIG)

    assert clause.startswith(f'{measure} of span 7 moved by ')


def test_class_balance_uses_largest_change_of_share(statistics_of, before):
    assert drift(2, statistics_of(seed=1, dogs=0.75), before, CONFIG) == (
        'class balance of span 2 moved by 0.25 (limit 0.1)',
    )


def test_ignores_splits_with_few_images(statistics_of, before):
    few = statistics_of(count=99, seed=1, darker=0.6)

    assert drift(4, few, before, CONFIG) == ()
    assert drift(4, before, few, CONFIG) == ()
    assert drift(4, few, before, ValidationConfig(min_images=99)) != ()


def test_ignores_sampling_noise_of_shares(statistics_of, before):
    few, many = (statistics_of(count=count, seed=1, dogs=0.65) for count in (200, 4000))

    assert drift(4, few, before, CONFIG) == ()  # four standard errors are 0.2
    assert drift(4, many, statistics_of(count=4000), CONFIG) == (
        'class balance of span 4 moved by 0.15 (limit 0.1)',
    )


def test_describes_skew_of_class_balance(statistics_of):
    splits = {
        'train': statistics_of(count=1200),
        'eval': statistics_of(count=400, seed=1),
        'test': statistics_of(count=400, seed=2, dogs=0.68, darker=0.5),
    }

    assert skew(splits, CONFIG) == ('class balance of test differs from train by 0.18 (limit 0.1)',)
