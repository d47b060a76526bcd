"""Results by class."""

import pytest

from pipeline.report.page.classes import cells, class_rows, confusions, macro_average

MATRIX = ((5, 1, 0), (0, 0, 3), (0, 0, 0))  # no image of c


def test_precision_recall_and_f1():
    a, b, c = class_rows(MATRIX, 'abc')

    assert (a.precision.value, a.recall.value, a.f1) == pytest.approx((1, 5 / 6, 10 / 11))
    assert (b.precision.value, b.recall.value, b.f1, b.images) == (0, 0, 0, 3)
    assert (c.precision.value, c.recall.value, c.f1) == (0, None, 0)


def test_class_without_images_and_predictions_has_no_values():
    _, b = class_rows(((5, 0), (0, 0)), 'ab')

    assert (b.precision.value, b.recall.value, b.f1) == (None, None, None)


def test_macro_average_is_the_mean_of_the_classes_with_images():
    macro = macro_average(class_rows(MATRIX, 'abc'))

    assert (macro.precision.value, macro.recall.value, macro.f1, macro.images) == pytest.approx(
        (1 / 2, 5 / 12, 5 / 11, 9)
    )


def test_macro_average_counts_a_class_that_is_never_predicted_as_0():
    assert macro_average(class_rows(((5, 0), (5, 0)), 'ab')).precision.value == 0.25


def test_macro_average_of_no_images_has_no_values():
    macro = macro_average(class_rows(((0, 0), (0, 0)), 'ab'))

    assert (macro.precision.value, macro.f1) == (None, None)


def test_most_frequent_confusion_comes_first():
    matrix = ((5, 1, 0), (0, 4, 3), (0, 0, 9))

    assert confusions(matrix, ('a', 'b', 'c')) == [('b', 'c', 3), ('a', 'b', 1)]


def test_cells_have_the_share_of_their_label():
    assert cells(MATRIX) == [(0, 0, 5, 5 / 6), (0, 1, 1, 1 / 6), (1, 2, 3, 1.0)]
