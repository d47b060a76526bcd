"""The gate of a new recipe."""

import pytest

from pipeline.new_recipe.gate import choose_gate


@pytest.mark.parametrize(
    ('test', 'baseline', 'max_drop', 'undecided'),
    [
        ([10] * 6, 0.67, 0.02, 'push'),
        ([99, 100], 0.9, 0.02, 'push'),
        ([100, 100], 0.9, 0.05, 'keep'),
        ([200, 200], 0.9, 0.03, 'keep'),
        ([400, 400], 0.9, 0.02, 'keep'),
        ([250] * 3, 0.8, 0.05, 'keep'),
        ([300] * 5, 0.7, 0.02, 'keep'),
        ([200] * 10, 0.6, 0.03, 'keep'),
        ([100] * 100, 0.51, 0.02, 'keep'),
    ],
)
def test_gate_fits_number_of_classes_and_test_images(test, baseline, max_drop, undecided):
    gate = choose_gate(test, max(test) / sum(test))

    assert gate['baseline_accuracy'] == pytest.approx(baseline)
    assert (gate['max_drop'], gate['undecided']) == (max_drop, undecided)
    assert gate['min_images'] < sum(test)


def test_frequent_class_leaves_the_minimum_to_the_gate():
    assert choose_gate([950, 50], 0.95)['baseline_accuracy'] is None


def test_embedded_weights_get_a_lower_minimum():
    gate = choose_gate([40, 40], 0.5, embedded=True)
    assert gate['baseline_accuracy'] == pytest.approx(0.75)
