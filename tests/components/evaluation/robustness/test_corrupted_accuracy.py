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
    """What is found on eight images that the model knows as they are."""
    images = [gray(40 + n, CATS) for n in range(4)] + [gray(180 + n, DOGS) for n in range(4)]
    return measured(images, classifier)


def test_each_corruption_has_a_row_for_each_severity(table):
    _, rows, _ = table
    assert sorted(rows) == sorted(COPIES)
    assert {row.images for row in rows.values()} == {8}
    assert len({name for name, _ in COPIES}) == 5


def test_images_that_the_model_knows_are_right_as_they_are(table):
    clean, _, _ = table
    assert clean.value == 1
    assert 0.6 < clean.low < 0.7  # as Wilson has it for 8 of 8


def test_dogs_in_the_dark_are_cats_to_a_model_that_looks_at_brightness(table):
    _, rows, _ = table
    assert rows['darkness', 3].accuracy.value == 0.5
    assert rows['darkness', 3].accuracy.low < 0.5 < rows['darkness', 3].accuracy.high


def test_what_changes_no_brightness_changes_no_answer(table):
    _, rows, _ = table
    assert rows['rotation', 3].accuracy.value == rows['blur', 3].accuracy.value == 1


def test_whoever_waits_is_told_of_every_copy(table):
    assert table[2] == 8 * (len(COPIES) + 1)


def test_only_the_chosen_images_count(classifier):
    images = [gray(40, CATS), gray(180, CATS)]  # the second is wrong

    clean, rows, _ = measured(images, classifier, chosen={images[0].sha256})

    assert clean.value == 1
    assert rows['blur', 1].images == 1


def test_answers_that_are_no_number_are_wrong(broken):
    clean, rows, _ = measured([gray(40, CATS), gray(180, DOGS)], broken)
    assert clean.value == 0
    assert {row.accuracy.value for row in rows.values()} == {0}


def test_the_same_images_are_chosen_in_whatever_order_they_come():
    digests = [f'{n * 7919 % 97:02d}' for n in range(97)]
    assert choose(digests, 10) == choose(reversed(digests), 10)
    assert len(choose(digests, 10)) == 10


def test_another_image_takes_the_place_of_one_at_most():
    digests = ['50', '10', '70', '30']
    assert choose(digests, 2) == {'10', '30'}
    assert choose([*digests, '20'], 2) == {'10', '20'}
    assert choose([*digests, '90'], 2) == {'10', '30'}


def test_of_few_images_all_are_chosen():
    assert choose(['b', 'a'], 100) == {'a', 'b'}
