"""The gate of a new recipe."""

import pytest

from components.evaluation.config import EvaluationConfig
from pipeline.new_recipe.gate import choose_gate


@pytest.mark.parametrize(
    ('test', 'baseline', 'undecided'),
    [([10] * 6, 0.67, 'push'), ([200, 200], 0.9, 'keep'), ([400] * 3, 0.8, 'keep')],
)
def test_gate_fits_number_of_classes_and_test_images(test, baseline, undecided):
    gate = choose_gate(test, max(test) / sum(test))

    assert gate.baseline_accuracy == pytest.approx(baseline)
    assert gate.undecided == undecided
    assert gate.min_images < sum(test)


def test_more_test_images_allow_smaller_margins():
    few, more = (choose_gate([number, number], 0.5) for number in (80, 1000))

    assert few.undecided == more.undecided == 'keep'
    assert few.max_drop > more.max_drop == EvaluationConfig().max_drop
    assert few.max_log_loss_rise > more.max_log_loss_rise
    assert more.accepted > 0.8


def test_images_that_decide_nothing_keep_the_default_margins():
    gate, usual = choose_gate([20, 20], 0.5), EvaluationConfig()

    assert gate.undecided == 'push'
    assert gate.max_drop == usual.max_drop
    assert gate.max_balanced_drop == usual.max_balanced_drop
    assert gate.max_log_loss_rise == usual.max_log_loss_rise


def test_frequent_class_leaves_the_minimum_to_the_gate():
    assert choose_gate([950, 50], 0.95).baseline_accuracy is None


def test_embedded_weights_get_a_lower_minimum():
    assert choose_gate([40, 40], 0.5, embedded=True).baseline_accuracy == pytest.approx(0.75)
