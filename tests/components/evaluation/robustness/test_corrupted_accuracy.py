import pytest
from bright_model import gray

from components.evaluation.robustness.corrupted_accuracy import COPIES, choose, measure_robustness

CATS, DOGS = 0, 1


def measured(images, classifier, chosen=None):
    digests = chosen or {image.sha256 for image in images}
    done = []
    clean, corrupted = measure_robustness(images, digests, classifier, done.append)
    return clean, {(row.corruption, row.severity): row for row in corrupted}, sum(done)


@pytest.fixture(scope='module')
def table(classifier):
    """Results on eight images that the model classifies correctly."""
    images = [gray(40 + n, CATS) for n in range(4)] + [gray(180 + n, DOGS) for n in range(4)]
    return measured(images, classifier)


def test_measures_every_corruption_and_severity(table):
    _, rows, _ = table
    assert sorted(rows) == sorted(COPIES)
    assert {row.images for row in rows.values()} == {8}
    assert len({name for name, _ in COPIES}) == 5


def test_clean_accuracy_has_wilson_interval(table):
    clean, _, _ = table
    assert clean.value == 1
    assert 0.6 < clean.low < 0.7


def test_darkness_lowers_accuracy_of_brightness_model(table):
    _, rows, _ = table
    assert rows['darkness', 3].accuracy.value == 0.5
    assert rows['darkness', 3].accuracy.low < 0.5 < rows['darkness', 3].accuracy.high


def test_rotation_and_blur_keep_accuracy_of_brightness_model(table):
    _, rows, _ = table
    assert rows['rotation', 3].accuracy.value == rows['blur', 3].accuracy.value == 1


def test_reports_progress_of_every_copy(table):
    assert table[2] == 8 * (len(COPIES) + 1)


def test_uses_only_chosen_images(classifier):
    images = [gray(40, CATS), gray(180, CATS)]  # the second is wrong

    clean, rows, _ = measured(images, classifier, chosen={images[0].sha256})

    assert clean.value == 1
    assert rows['blur', 1].images == 1


def test_nan_predictions_are_wrong(broken):
    clean, rows, _ = measured([gray(40, CATS), gray(180, DOGS)], broken)
    assert clean.value == 0
    assert {row.accuracy.value for row in rows.values()} == {0}


def test_choice_does_not_depend_on_order():
    digests = [f'{n * 7919 % 97:02d}' for n in range(97)]
    assert choose(digests, 10) == choose(reversed(digests), 10)
    assert len(choose(digests, 10)) == 10


def test_additional_image_replaces_at_most_one():
    digests = ['50', '10', '70', '30']
    assert choose(digests, 2) == {'10', '30'}
    assert choose([*digests, '20'], 2) == {'10', '20'}
    assert choose([*digests, '90'], 2) == {'10', '30'}


def test_chooses_all_of_few_images():
    assert choose(['b', 'a'], 100) == {'a', 'b'}
