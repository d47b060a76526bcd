from collections import Counter

import numpy as np
import pytest
import scipy.stats
from bright_model import gray
from image_bytes import natural

from components.evaluation.results import wilson
from components.evaluation.robustness.corruptions import (
    COPIES,
    CORRUPTIONS,
    IMAGES_PER_DECISION,
    SEVERITIES,
    corrupt,
    is_precise,
    measure_robustness,
)

CATS, DOGS = 0, 1
DIGEST = 'a1' * 32


@pytest.fixture(scope='module')
def image():
    return np.asarray(natural(seed=3, size=(96, 80)))


def distance(image, other):
    return np.abs(image.astype(float) - other).mean()


@pytest.mark.parametrize('corruption', CORRUPTIONS)
def test_corruption_grows_with_severity_and_is_deterministic(image, corruption):
    before = image.copy()

    copies, again = (
        [corrupt(image, corruption, severity, DIGEST) for severity in SEVERITIES] for _ in range(2)
    )

    first, second, third = (distance(image, copy) for copy in copies)
    assert 0.5 < first < second < third
    assert {(copy.shape, copy.dtype) for copy in copies} == {(image.shape, np.dtype(np.uint8))}
    np.testing.assert_array_equal(copies, again)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(('corruption', 'copies'), [('noise', 8), ('rotation', 2)])
def test_noise_and_direction_of_rotation_depend_on_digest(image, corruption, copies):
    digests = [f'{n:064x}'[::-1] for n in range(8)]
    assert len({corrupt(image, corruption, 1, each).tobytes() for each in digests}) == copies


def test_rotation_has_no_black_corners():
    white = np.full((60, 90, 3), 255, np.uint8)
    assert all((corrupt(white, 'rotation', each, DIGEST) == 255).all() for each in SEVERITIES)


def measured(images, classifier, precision=0.0):
    clean = [number % 4 > 0 for number in range(len(images))]
    corrupted = measure_robustness(images, clean, classifier, precision, 'squeeze')
    return {(row.corruption, row.severity): row for row in corrupted}


def test_measures_every_corruption_and_severity(classifier):
    """The model classifies by brightness, which darkness changes, and rotation and blur do not."""
    images = [gray(40 + n, CATS) for n in range(4)] + [gray(180 + n, DOGS) for n in range(4)]

    rows = measured(images, classifier)

    assert sorted(rows) == sorted(COPIES)
    assert {(row.images, row.clean) for row in rows.values()} == {(8, 0.75)}
    assert rows['darkness', 3].accuracy.value == 0.5
    assert rows['rotation', 3].accuracy.value == rows['blur', 3].accuracy.value == 1


def test_ends_with_a_narrow_interval(classifier):
    """Darkness changes the class of half the images, rotation that of none."""
    images = [gray(30 + n, CATS) if n % 2 else gray(180 + n, DOGS) for n in range(50)]

    rows = measured(images, classifier, precision=0.1)

    assert (rows['rotation', 3].images, rows['rotation', 3].accuracy.value) == (20, 1)
    assert (rows['darkness', 3].images, rows['darkness', 3].accuracy.value) == (50, 0.5)
    assert rows['rotation', 3].clean == pytest.approx(15 / 20)
    assert rows['darkness', 3].clean == pytest.approx(37 / 50)


def test_reads_no_image_after_the_last_estimate(classifier):
    images = iter([gray(30, CATS) for _ in range(100)])

    measured_images = {
        row.images for row in measure_robustness(images, [True] * 100, classifier, 0.5, 'squeeze')
    }

    assert measured_images == {20}
    assert len(list(images)) == 80


@pytest.mark.parametrize('accuracy', [0.5, 0.79, 0.9, 0.975, 0.99])
def test_ending_early_keeps_the_coverage_of_the_interval(accuracy):
    """Computes the distribution of the number of correct images after each decision."""
    running, covered, most, precision = {0: 1.0}, 0.0, 60, 0.125
    added = scipy.stats.binom(IMAGES_PER_DECISION, accuracy).pmf(range(IMAGES_PER_DECISION + 1))
    for count in range(IMAGES_PER_DECISION, most + 1, IMAGES_PER_DECISION):
        reached = Counter()
        for before, chance in running.items():
            for more, share in enumerate(added):
                reached[before + more] += chance * share
        running = {}
        for correct, chance in reached.items():
            estimate = wilson(correct, count)
            if count < most and not is_precise(estimate, precision):
                running[correct] = chance
            elif estimate.low <= accuracy <= estimate.high:
                covered += chance
    assert 0.925 < covered < 0.99


def test_nan_predictions_are_wrong(broken):
    rows = measured([gray(40, CATS), gray(180, DOGS)], broken)

    assert {row.accuracy.value for row in rows.values()} == {0}
