import numpy as np
import pytest
from bright_model import gray
from image_bytes import natural

from components.evaluation.results import wilson
from components.evaluation.robustness.corruptions import (
    COPIES,
    CORRUPTIONS,
    SEVERITIES,
    corrupt,
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


def measured(images, classifier):
    corrupted = measure_robustness(images, wilson(3, 4), classifier, 'squeeze')
    return {(row.corruption, row.severity): row for row in corrupted}


def test_measures_every_corruption_and_severity(classifier):
    """The model classifies by brightness, which darkness changes, and rotation and blur do not."""
    images = [gray(40 + n, CATS) for n in range(10)] + [gray(180 + n, DOGS) for n in range(10)]

    rows = measured(images, classifier)

    assert sorted(rows) == sorted(COPIES)
    assert (rows['darkness', 3].accuracy, rows['darkness', 3].loss) == (wilson(10, 20), 0.25)
    assert rows['rotation', 3].accuracy.value == rows['blur', 3].accuracy.value == 1


def test_nan_predictions_are_wrong(broken):
    rows = measured([gray(40, CATS), gray(180, DOGS)], broken)

    assert {row.accuracy.value for row in rows.values()} == {0}
