"""Compares metrics with their definitions, and checks the coverage of the intervals."""

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


def auc(truth, given):
    """Share of pairs of a positive and a negative decision in the right order."""
    pairs = given[truth][:, None] - given[~truth]
    return ((pairs > 0).sum() + (pairs == 0).sum() / 2) / pairs.size


def average_precision(truth, given):
    ordered = truth[np.argsort(-given, kind='stable')]
    return (np.cumsum(ordered) / np.arange(1, len(ordered) + 1))[ordered].mean()


def recall(labels, predicted, label):
    return (predicted[labels == label] == label).mean()


def f1(labels, predicted, label):
    hits = ((labels == label) & (predicted == label)).sum()
    return 2 * hits / ((labels == label).sum() + (predicted == label).sum())


def calibration_error(given, truth):
    """Over ten bins, of the second of two classes or the predicted one of many."""
    confidence, hits = given.max(axis=1), truth[np.arange(len(given)), given.argmax(axis=1)]
    bins = [np.floor(confidence * 10) == number for number in range(10)]
    return sum(abs((confidence[each] - hits[each]).sum()) for each in bins) / len(given)


@KINDS
def test_metrics_match_their_definitions(classes):
    labels, probabilities = predictions(classes)
    by_class, predicted = np.float64(probabilities), probabilities.argmax(axis=1)
    judged_classes = [1] if classes == 2 else [*range(classes)]
    given, truth = by_class[:, judged_classes], labels[:, None] == judged_classes
    every = range(classes)
    of_label = by_class[np.arange(len(labels)), labels]
    ranks = (by_class > of_label[:, None]).sum(axis=1)

    found = values(measured(labels, probabilities))

    expected = {
        ACCURACY: (labels == predicted).mean(),
        results.TOP_5_ACCURACY: (ranks < 5).mean(),
        BALANCED_ACCURACY: np.mean([recall(labels, predicted, each) for each in every]),
        results.MACRO_F1: np.mean([f1(labels, predicted, each) for each in every]),
        AUC: auc(truth.ravel(), given.ravel()),
        PR_AUC: average_precision(truth.ravel(), given.ravel()),
        results.LOG_LOSS: -np.log(of_label).mean(),
        results.BRIER: ((given - truth) ** 2).sum(axis=1).mean(),
        results.ECE: calibration_error(given, truth),
    }
    least = {results.TOP_5_ACCURACY: 8, results.MACRO_F1: 3}
    expected = {name: each for name, each in expected.items() if classes >= least.get(name, 2)}
    assert found == pytest.approx(expected, abs=1e-6)


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
    predicted = probabilities[some].argmax(axis=1)

    found = values(measured(labels[some], probabilities[some]))

    recalls, scores = (
        [function(labels[some], predicted, each) for each in range(2)] for function in (recall, f1)
    )
    assert found[BALANCED_ACCURACY] == pytest.approx(np.mean(recalls))
    assert found[results.MACRO_F1] == pytest.approx(np.mean(scores))


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
