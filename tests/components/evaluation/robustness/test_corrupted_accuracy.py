import pytest
from bright_model import gray

from components.evaluation.robustness.corrupted_accuracy import COPIES, measure_robustness

CATS, DOGS = 0, 1


def measured(images, classifier):
    clean, corrupted = measure_robustness(images, classifier)
    return clean, {(row.corruption, row.severity): row for row in corrupted}


def test_measures_every_corruption_and_severity(classifier):
    """The model classifies by brightness, which darkness changes, and rotation and blur do not."""
    images = [gray(40 + n, CATS) for n in range(4)] + [gray(180 + n, DOGS) for n in range(4)]

    clean, rows = measured(images, classifier)

    assert clean.value == 1
    assert 0.6 < clean.low < 0.7
    assert sorted(rows) == sorted(COPIES)
    assert {row.images for row in rows.values()} == {8}
    dark = rows['darkness', 3].accuracy
    assert dark.value == pytest.approx(0.5)
    assert dark.low < 0.5 < dark.high
    assert rows['rotation', 3].accuracy.value == rows['blur', 3].accuracy.value == 1


def test_nan_predictions_are_wrong(broken):
    clean, rows = measured([gray(40, CATS), gray(180, DOGS)], broken)
    assert clean.value == 0
    assert {row.accuracy.value for row in rows.values()} == {0}
