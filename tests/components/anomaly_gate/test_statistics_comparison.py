"""Which distances are told, and how they read."""

import numpy as np
import pytest

from components.anomaly_gate.config import ValidationConfig
from components.anomaly_gate.statistics_comparison import drift, skew

USUAL = ValidationConfig()


@pytest.fixture(scope='module')
def before(statistics_of):
    return statistics_of()


def changed(**limits):
    return ValidationConfig.model_validate({'drift': limits})


def test_another_span_of_the_same_kind_did_not_move(statistics_of, before):
    assert drift(4, statistics_of(seed=1), before, USUAL) == ()


def test_darker_images_are_told_with_their_span_the_distance_and_the_limit(statistics_of, before):
    (clause,) = drift(4, statistics_of(seed=1, darker=0.6), before, USUAL)

    assert clause.startswith('brightness of span 4 moved by 0.')
    assert clause.endswith(' (limit 0.2)')


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
def test_every_measure_is_looked_at(statistics_of, before, columns, measure):
    (clause,) = drift(7, statistics_of(seed=1, **columns), before, USUAL)

    assert clause.startswith(f'{measure} of span 7 moved by ')


def test_the_class_balance_moves_by_the_largest_change_of_a_share(statistics_of, before):
    assert drift(2, statistics_of(seed=1, dogs=0.75), before, USUAL) == (
        'class balance of span 2 moved by 0.25 (limit 0.1)',
    )


def test_a_measure_without_a_limit_is_not_compared(statistics_of, before):
    darker = statistics_of(seed=1, darker=0.6)

    assert drift(4, darker, before, changed(brightness=None)) == ()


def test_a_higher_limit_allows_more(statistics_of, before):
    assert drift(4, statistics_of(seed=1, darker=0.6), before, changed(brightness=0.9)) == ()


def test_few_images_are_not_judged(statistics_of, before):
    few = statistics_of(count=99, seed=1, darker=0.6)

    assert drift(4, few, before, USUAL) == ()
    assert drift(4, before, few, USUAL) == ()
    assert drift(4, few, before, ValidationConfig(min_images=99)) != ()


def test_shares_of_few_images_may_differ_by_what_is_noise(statistics_of, before):
    few, many = (statistics_of(count=count, seed=1, dogs=0.65) for count in (200, 4000))

    assert drift(4, few, before, USUAL) == ()  # four standard errors are 0.2
    assert drift(4, many, statistics_of(count=4000), USUAL) == (
        'class balance of span 4 moved by 0.15 (limit 0.1)',
    )


def test_a_split_with_other_shares_of_the_classes_than_train_is_told(statistics_of):
    splits = {
        'train': statistics_of(count=1200),
        'eval': statistics_of(count=400, seed=1),
        'test': statistics_of(count=400, seed=2, dogs=0.68),
    }

    assert skew(splits, USUAL) == ('class balance of test differs from train by 0.18 (limit 0.1)',)


def test_a_class_that_a_split_lacks_is_told(statistics_of):
    splits = {'train': statistics_of(), 'eval': statistics_of(dogs=0.0)}

    assert skew(splits, USUAL) == ('class balance of eval differs from train by 0.50 (limit 0.1)',)


def test_other_measures_may_differ_between_splits(statistics_of):
    assert skew({'train': statistics_of(), 'test': statistics_of(darker=0.5)}, USUAL) == ()
