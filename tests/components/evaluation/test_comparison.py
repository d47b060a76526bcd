"""Paired comparison of two models on the same images."""

import numpy as np
import pytest
from scipy.stats import norm

from components.evaluation.comparison import compare, score_bound


def models(better, worse, images, label=0):
    """Labels and the predictions of two models that differ on some images."""
    labels = np.full(images, label)
    candidate, reference = labels.copy(), labels.copy()
    candidate[:worse] += 1
    reference[worse : worse + better] += 1
    return labels, candidate, reference


@pytest.mark.parametrize(('better', 'worse', 'images'), [(12, 2, 50), (3, 9, 400), (0, 4, 130)])
def test_bound_is_where_the_score_test_rejects(better, worse, images):
    """With the most likely shares under the hypothesis, found by search."""
    drop = -score_bound(better, worse, images)

    shares = np.linspace(max(0, -drop), (1 - drop) / 2, 200_001)[1:-1]  # of better images
    likelihood = (
        better * np.log(shares)
        + worse * np.log(shares + drop)
        + (images - better - worse) * np.log(1 - 2 * shares - drop)
    )
    share = shares[likelihood.argmax()]
    variance = images * (2 * share + drop - drop**2)
    score = (better - worse + images * drop) / np.sqrt(variance)
    assert score == pytest.approx(norm.ppf(0.95), abs=0.002)


@pytest.mark.parametrize(
    ('better', 'worse', 'images', 'outcome'),
    [
        (0, 3, 100, 'worse'),  # McNemar's statistic: 3 / sqrt(3) = 1.73
        (0, 2, 100, 'undecided'),
        (3, 0, 100, 'better'),
        (0, 0, 100, 'same'),
        (10, 10, 1000, 'not worse'),
        (10, 17, 1000, 'not worse'),
        (10, 18, 1000, 'not worse'),
        (10, 20, 1000, 'worse'),
    ],
)
def test_outcomes_of_the_accuracy(better, worse, images, outcome):
    found = compare(*models(better, worse, images))
    assert found.outcome == outcome
    assert (found.better, found.worse, found.images) == (better, worse, images)
    assert found.low <= found.candidate - found.reference <= found.high
    assert (found.needed is None) == (outcome != 'undecided')


def test_wrong_predictions_that_change_are_not_the_same():
    labels, candidate, reference = models(0, 3, 40)
    reference[:3] = 2
    found = compare(labels, candidate, reference)
    assert (found.outcome, found.better, found.worse) == ('undecided', 0, 0)


def test_nan_is_wrong():
    labels, candidate, reference = models(0, 0, 100)
    reference[:5] = -1
    assert compare(labels, candidate, reference).better == 5


@pytest.mark.parametrize(('better', 'worse', 'images'), [(2, 4, 80), (4, 4, 60), (0, 2, 100)])
def test_needed_images_decide(better, worse, images):
    found = compare(*models(better, worse, images))

    times = (images + found.needed) / images
    more = [round(times * each) for each in (better, worse, images)]
    enough = compare(*models(*more))
    assert found.outcome == 'undecided'
    bounds = min(abs(enough.low + 0.05), abs(enough.high))
    assert enough.outcome != 'undecided' or bounds < 0.01


def join(*parts):
    return tuple(np.concatenate(each) for each in zip(*parts, strict=True))


def test_balanced_accuracy_weighs_classes_equally():
    """Twenty of 950 images get worse, eight of 50 better."""
    images = join(models(0, 20, 950), models(8, 0, 50, label=1))

    plain = compare(*images)
    balanced = compare(*images, metric='balanced_accuracy')

    assert (plain.outcome, balanced.outcome) == ('worse', 'better')
    assert balanced.candidate - balanced.reference == pytest.approx((8 / 50 - 20 / 950) / 2)


def test_balanced_accuracy_of_few_images_of_a_class_is_undecided():
    images = join(models(3, 3, 300), models(1, 1, 12, label=1))
    assert compare(*images, metric='balanced_accuracy').outcome == 'undecided'
    assert compare(*images).outcome == 'not worse'


def test_groups_count_as_one():
    """Four images of one subject get worse."""
    images = models(0, 4, 400)
    subjects = np.arange(400) // 4 + 1

    assert compare(*images).outcome == 'worse'
    found = compare(*images, groups=subjects)
    assert (found.outcome, found.groups) == ('not worse', 100)
    single = compare(*images, groups=np.where(subjects == 1, 7, 0))  # 0: no group
    assert (single.outcome, single.groups) == ('not worse', 397)
    assert compare(*images, groups=np.zeros(400, int)).outcome == 'worse'


@pytest.mark.parametrize(('better', 'worse'), [(0, 40), (40, 0), (5, 5)])
def test_fewer_than_20_groups_are_undecided(better, worse):
    images = models(better, worse, 190)
    groups = np.arange(190) // 10 + 1

    found = compare(*images, groups=groups)

    assert (found.outcome, found.groups, found.needed) == ('undecided', 19, None)
    assert compare(images[0], images[1], images[1], groups=groups).outcome == 'same'


def test_bootstrap_is_repeatable():
    images, groups = models(9, 14, 300), np.arange(300) // 5 + 1
    for metric in ('accuracy', 'balanced_accuracy'):
        one, other = (compare(*images, metric=metric, groups=groups) for _ in range(2))
        assert one == other
