"""Metrics of worked examples, and the coverage of the intervals."""

import numpy as np
import pytest
import sklearn.metrics

from components.evaluation import results
from components.evaluation.metrics.estimates import Judged, curves, estimates
from components.evaluation.results import ACCURACY, AUC, BALANCED_ACCURACY, PR_AUC, wilson

KINDS = pytest.mark.parametrize('classes', [2, 3, 8])
INTERVALS = (ACCURACY, BALANCED_ACCURACY, AUC, PR_AUC)


def predictions(classes, images=300, seed=0, right=1.5):
    """Labels and predicted probabilities of a simulated model."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    logits = random.normal(0, 1.5, (images, classes))
    logits[np.arange(images), labels] += right
    odds = np.exp(logits)
    return labels, (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


def judged(labels, probabilities):
    """Predictions of the highest probability; -1 for NaN."""
    best = probabilities.argmax(axis=1)
    return Judged(labels, np.where(np.isnan(probabilities).any(axis=1), -1, best), probabilities)


def measured(labels, probabilities):
    return estimates(judged(labels, probabilities))


def values(found):
    return {name: each.value for name, each in found.items()}


@pytest.mark.parametrize(
    ('labels', 'probabilities', 'expected'),
    [
        (
            [0, 0, 1, 1],
            [[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]],
            {
                ACCURACY: 3 / 4,
                BALANCED_ACCURACY: (1 + 1 / 2) / 2,
                AUC: 3 / 4,  # pairs of a dog and a cat in the right order
                PR_AUC: (1 / 1 + 2 / 3) / 2,
                results.LOG_LOSS: -np.log([0.9, 0.6, 0.35, 0.8]).mean(),
                results.BRIER: np.square([0.1, 0.4, 0.65, 0.2]).mean(),
                results.ECE: (0.1 + 0.4 + 0.65 + 0.2) / 4,  # each in a bucket of its own
            },
        ),
        (
            [0, 0, 1, 2],
            [[0.75, 0.15, 0.1], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1], [0.05, 0.05, 0.9]],
            {
                ACCURACY: 3 / 4,
                BALANCED_ACCURACY: (1 / 2 + 1 + 1) / 3,
                results.MACRO_F1: (2 / 3 + 2 / 3 + 1) / 3,
                AUC: 31 / 32,  # only 0.6 is above 0.3
                PR_AUC: (1 + 1 + 1 + 4 / 5) / 4,
                results.LOG_LOSS: -np.log([0.75, 0.3, 0.8, 0.9]).mean(),
                results.BRIER: (0.095 + 0.86 + 0.06 + 0.015) / 4,
                results.ECE: (0.25 + 0.6 + 0.2 + 0.1) / 4,
            },
        ),
    ],
)
def test_metrics_of_two_and_three_classes(labels, probabilities, expected):
    found = values(measured(np.array(labels), np.array(probabilities, np.float32)))
    assert found == pytest.approx(expected, abs=1e-6)


def test_top_5_accuracy_is_the_share_of_labels_among_the_five_most_probable():
    labels, probabilities = predictions(8)
    top = np.argsort(-probabilities, axis=1)[:, :5]
    found = measured(labels, probabilities)[results.TOP_5_ACCURACY]
    assert found.value == pytest.approx((top == labels[:, None]).any(axis=1).mean())


@pytest.mark.parametrize(('probability', 'auc'), [(np.nan, None), (0.5, 0.5)])
def test_auc_of_constant_predictions(probability, auc):
    constant = judged(np.array([0, 0, 0, 1]), np.full((4, 2), probability))

    assert values(estimates(constant)).get(AUC) == auc
    assert any(dict(curves(constant)).values()) == (auc is not None)


@pytest.mark.parametrize(('classes', 'more'), [(2, []), (8, [results.TOP_5_ACCURACY])])
def test_single_label_omits_metrics_that_compare_classes(classes, more):
    _, probabilities = predictions(classes)

    found = measured(np.ones(len(probabilities), int), probabilities)

    assert list(found) == [ACCURACY, *more, results.LOG_LOSS, results.BRIER]


def test_class_without_images_does_not_count():
    labels, probabilities = predictions(3)
    some = labels < 2
    labels, predicted = labels[some], probabilities[some].argmax(axis=1)

    found = values(measured(labels, probabilities[some]))

    right = [((labels == each) & (predicted == each)).sum() for each in range(2)]
    images, answers = ([(of == each).sum() for each in range(2)] for of in (labels, predicted))
    assert found[BALANCED_ACCURACY] == pytest.approx(np.divide(right, images).mean())
    expected = 2 * np.divide(right, np.add(images, answers)).mean()
    assert found[results.MACRO_F1] == pytest.approx(expected)


def test_perfect_model_on_few_images_has_wide_intervals():
    labels = np.array([0, 1] * 10)

    found = measured(labels, np.where(np.eye(2)[labels], 0.9, 0.1))

    assert found[AUC].value == found[PR_AUC].value == 1
    assert found[ACCURACY] == wilson(20, 20)
    assert wilson(0, 0).value is None
    for name in INTERVALS:
        assert 0.6 < found[name].low < 0.95
        assert found[name].high == pytest.approx(1)


@pytest.mark.parametrize(('classes', 'right'), [(2, 1.5), (2, 4), (5, 3)])
def test_about_95_of_100_intervals_contain_true_value(classes, right):
    truth = measured(*predictions(classes, 50_000, seed=1, right=right))
    held = dict.fromkeys(INTERVALS, 0)
    for seed in range(2, 102):
        found = measured(*predictions(classes, 300, seed, right))
        for name in INTERVALS:
            held[name] += found[name].low <= truth[name].value <= found[name].high

    assert all(times >= 88 for times in held.values()), held
    assert held[ACCURACY] <= 99  # not by being too wide


@KINDS
def test_areas_under_curves_equal_estimates(classes):
    model = judged(*predictions(classes, 2000))

    found, expected = curves(model), values(estimates(model))

    assert (found.roc[0], found.roc[-1]) == ((0, 0), (1, 1))
    assert 150 < len(found.roc) <= 200
    roc, precision_recall = np.array(found.roc).T, np.array(found.precision_recall).T
    assert sklearn.metrics.auc(*roc) == pytest.approx(expected[AUC], abs=0.005)
    assert sklearn.metrics.auc(*precision_recall) == pytest.approx(expected[PR_AUC], abs=0.02)
    assert sum(bucket.images for bucket in found.calibration) == 2000
