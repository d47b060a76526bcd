"""Compares metrics with their definitions, and checks the coverage of the intervals."""

import numpy as np
import pytest
import sklearn.metrics

from components.evaluation import results
from components.evaluation.metrics.counts import count
from components.evaluation.metrics.estimates import curves, estimates
from components.evaluation.results import ACCURACY, AUC, BALANCED_ACCURACY, PR_AUC, wilson

KINDS = pytest.mark.parametrize('classes', [2, 5])
INTERVALS = (ACCURACY, BALANCED_ACCURACY, AUC, PR_AUC)


def predictions(classes, images=300, seed=0, right=1.5, scale=1.0):
    """Labels and predicted probabilities of a simulated model."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    logits = random.normal(0, 1.5, (images, classes))
    logits[np.arange(images), labels] += right
    odds = np.exp(logits * scale)
    given = odds / odds.sum(axis=1, keepdims=True)
    return labels, (given[:, 1:] if classes == 2 else given).astype(np.float32)


def measured(labels, probabilities):
    return estimates(counted(labels, probabilities))


def counted(labels, probabilities):
    """Counts with the prediction of the highest probability; -1 for NaN."""
    binary = probabilities.shape[1] == 1
    best = (probabilities[:, 0] >= 0.5).astype(int) if binary else probabilities.argmax(axis=1)
    return count(labels, np.where(np.isnan(probabilities).any(axis=1), -1, best), probabilities)


def values(found):
    return {name: each.value for name, each in found.items()}


def calibration_error(given, truth):
    """Over ten bins, of the second of two classes or the predicted one of many."""
    confidence, hits = given.max(axis=1), truth[np.arange(len(given)), given.argmax(axis=1)]
    bins = [np.floor(confidence * 10) == number for number in range(10)]
    return sum(abs((confidence[each] - hits[each]).sum()) for each in bins) / len(given)


@KINDS
@pytest.mark.parametrize('scale', [1, 0.05])  # the scores of an untrained model are close
def test_metrics_match_scikit_learn(classes, scale):
    labels, probabilities = predictions(classes, scale=scale)
    given = np.float64(probabilities)
    truth = labels[:, None] if classes == 2 else np.eye(classes)[labels]
    predicted = given[:, 0] >= 0.5 if classes == 2 else given.argmax(axis=1)
    by_class = np.hstack([1 - given, given]) if classes == 2 else given
    by_class /= by_class.sum(axis=1, keepdims=True)  # float32 sums to 1 only nearly

    found = values(measured(labels, probabilities))

    assert found == pytest.approx(
        {
            ACCURACY: sklearn.metrics.accuracy_score(labels, predicted),
            BALANCED_ACCURACY: sklearn.metrics.balanced_accuracy_score(labels, predicted),
            AUC: sklearn.metrics.roc_auc_score(truth.ravel(), given.ravel()),
            PR_AUC: sklearn.metrics.average_precision_score(truth.ravel(), given.ravel()),
            results.LOG_LOSS: sklearn.metrics.log_loss(labels, by_class),
            results.BRIER: ((given - truth) ** 2).sum(axis=1).mean(),
            results.ECE: calibration_error(given, truth),
        },
        abs=2e-3,
    )


@pytest.mark.parametrize(('probability', 'auc'), [(np.nan, None), (0.3, 0.5)])
def test_auc_of_constant_predictions(probability, auc):
    counts = counted(np.array([0, 0, 0, 1]), np.full((4, 1), probability))

    assert values(estimates(counts)).get(AUC) == auc
    assert any(dict(curves(counts)).values()) == (auc is not None)


@KINDS
def test_single_label_omits_metrics_that_compare_classes(classes):
    _, probabilities = predictions(classes)

    found = measured(np.ones(len(probabilities), int), probabilities)

    assert list(found) == [ACCURACY, results.LOG_LOSS, results.BRIER]


def test_perfect_model_on_few_images_has_wide_intervals():
    labels = np.array([0, 1] * 10)

    found = measured(labels, np.where(labels, 0.9, 0.1)[:, None])

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
    counts = counted(*predictions(classes, 2000))

    found, expected = curves(counts), values(estimates(counts))

    assert (found.roc[0], found.roc[-1]) == ((0, 0), (1, 1))
    roc, precision_recall = np.array(found.roc).T, np.array(found.precision_recall).T
    assert sklearn.metrics.auc(*roc) == pytest.approx(expected[AUC], abs=0.005)
    assert sklearn.metrics.auc(*precision_recall) == pytest.approx(expected[PR_AUC], abs=0.02)
    assert sum(bucket.images for bucket in found.calibration) == 2000


def test_size_of_curves_and_counts_is_bounded():
    probabilities = 1 / (1 + np.exp(-np.linspace(-17, 17, 300_000)))[:, None]
    counts = counted(np.arange(300_000) % 2, probabilities)

    assert (counts + counts).scores.nnz == counts.scores.nnz <= 2 * 2**18
    assert 150 < len(curves(counts).roc) <= 201
