"""Compares metrics with their definitions, and checks the coverage of the intervals."""

import numpy as np
import pytest

from components.evaluation import results
from components.evaluation.metrics.counts import Counts, count, no_counts
from components.evaluation.metrics.curves import curves
from components.evaluation.metrics.estimates import estimates
from components.evaluation.metrics.intervals import wilson

KINDS = [2, 5]
INTERVALS = (results.ACCURACY, results.BALANCED_ACCURACY, results.AUC, results.PR_AUC)


def predictions(classes, images=300, seed=0, right=1.5):
    """Labels and predicted probabilities of a simulated model."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, images)
    logits = random.normal(0, 1.5, (images, classes))
    logits[np.arange(images), labels] += right
    odds = np.exp(logits)
    given = odds / odds.sum(axis=1, keepdims=True)
    return labels, (given[:, 1:] if classes == 2 else given).astype(np.float32)


def measured(labels, probabilities, classes, threshold=0.5):
    return estimates(count(labels, probabilities, threshold), classes)


def each_class(probabilities):
    """[images, classes]"""
    given = probabilities.astype(float)
    return given if given.shape[1] > 1 else np.hstack([1 - given, given])


def decisions(labels, probabilities):
    """Scores of the positives, and of the negatives."""
    right = np.eye(each_class(probabilities).shape[1], dtype=bool)[labels]
    right = right if probabilities.shape[1] > 1 else right[:, 1:]
    return probabilities[right].astype(float), probabilities[~right].astype(float)


@pytest.mark.parametrize('classes', KINDS)
def test_auc_is_probability_of_correct_ranking(classes):
    labels, probabilities = predictions(classes)
    positive, negative = decisions(labels, probabilities)
    difference = positive[:, None] - negative

    auc = measured(labels, probabilities, classes)[results.AUC]

    assert auc.value == pytest.approx(np.mean((difference > 0) + (difference == 0) / 2), abs=1e-4)


@pytest.mark.parametrize('classes', KINDS)
def test_auc_distinguishes_close_scores(classes):
    labels, probabilities = predictions(classes, images=50)
    logits = np.log(each_class(probabilities)) / 20
    odds = np.exp(logits)
    given = odds / odds.sum(axis=1, keepdims=True)
    close = (given[:, 1:] if classes == 2 else given).astype(np.float32)
    positive, negative = decisions(labels, close)
    difference = positive[:, None] - negative

    auc = measured(labels, close, classes)[results.AUC]

    assert auc.value == pytest.approx(np.mean((difference > 0) + (difference == 0) / 2), abs=1e-3)


@pytest.mark.parametrize('classes', KINDS)
def test_pr_auc_is_average_precision(classes):
    labels, probabilities = predictions(classes)
    positive, negative = decisions(labels, probabilities)
    precisions = [
        np.sum(positive >= score) / (np.sum(positive >= score) + np.sum(negative >= score))
        for score in positive
    ]

    pr_auc = measured(labels, probabilities, classes)[results.PR_AUC]

    assert pr_auc.value == pytest.approx(np.mean(precisions), abs=2e-3)


@pytest.mark.parametrize('classes', KINDS)
def test_log_loss_and_brier_score_are_means_over_images(classes):
    labels, probabilities = predictions(classes)
    given, right = each_class(probabilities), np.eye(classes)[labels]
    squares = ((given - right) ** 2)[:, 1] if classes == 2 else ((given - right) ** 2).sum(axis=1)

    found = measured(labels, probabilities, classes)

    loss = -np.log(given[np.arange(len(labels)), labels])
    assert found[results.LOG_LOSS].value == pytest.approx(loss.mean())
    assert found[results.BRIER].value == pytest.approx(squares.mean())


@pytest.mark.parametrize('threshold', [0.2, 0.5, 0.9])
def test_predicts_second_class_from_threshold(threshold):
    labels, probabilities = predictions(2)
    probabilities[:2] = threshold
    said = probabilities[:, 0] >= np.float32(threshold)

    counts = count(labels, probabilities, threshold)

    found = estimates(counts, 2)
    recalls = [np.mean(said[labels == label] == label) for label in (0, 1)]
    assert found[results.ACCURACY].value == np.mean(said == labels)
    assert found[results.BALANCED_ACCURACY].value == pytest.approx(np.mean(recalls))
    assert counts.confusion[0, 1] == np.sum(said & (labels == 0))


def test_predicts_most_likely_of_many_classes():
    labels, probabilities = predictions(5)
    said = probabilities.argmax(axis=1)

    found = measured(labels, probabilities, 5, threshold=0.99)

    assert found[results.ACCURACY].value == np.mean(said == labels)
    recalls = [np.mean(said[labels == label] == label) for label in range(5)]
    assert found[results.BALANCED_ACCURACY].value == pytest.approx(np.mean(recalls))


@pytest.mark.parametrize('classes', KINDS)
def test_calibration_error_is_mean_distance_over_ten_buckets(classes):
    labels, probabilities = predictions(classes)
    confidence = probabilities.max(axis=1)
    hits = labels == 1 if classes == 2 else probabilities.argmax(axis=1) == labels
    error = 0.0
    for low in range(10):
        inside = (confidence >= low / 10) & (confidence < (low + 1) / 10)
        error += abs(np.sum(confidence[inside]) - np.sum(hits[inside])) / len(labels)

    assert measured(labels, probabilities, classes)[results.ECE].value == pytest.approx(error)


@pytest.mark.parametrize('classes', KINDS)
def test_counts_of_parts_add_up(classes):
    labels, probabilities = predictions(classes)
    whole = count(labels, probabilities, 0.5)

    parts = [count(labels[p], probabilities[p], 0.5) for p in (slice(100), slice(100, None))]
    total = sum(parts, no_counts(classes))

    assert (total.images, total.broken, dict(total.confusion)) == (
        whole.images,
        whole.broken,
        dict(whole.confusion),
    )
    for name in ('losses', 'scores', 'confidence'):
        np.testing.assert_allclose(getattr(total, name), getattr(whole, name))


@pytest.mark.parametrize('classes', KINDS)
def test_nan_prediction_leaves_no_metric(classes):
    labels, probabilities = predictions(classes)
    probabilities[7] = np.nan

    counts = count(labels, probabilities, 0.5)

    assert set(estimates(counts, classes)) == set(results.METRICS)
    assert {each.value for each in estimates(counts, classes).values()} == {None}
    assert sum(counts.confusion.values()) == len(labels) - 1
    assert curves(counts).roc[-1] == (1, 1)


def test_only_nan_predictions_have_no_curves():
    found = curves(count(np.array([0, 1]), np.full((2, 1), np.nan), 0.5))

    assert (found.roc, found.precision_recall, found.calibration) == ((), (), ())


def test_constant_predictions_are_measured():
    found = measured(np.array([0, 0, 0, 1]), np.full((4, 1), 0.3, np.float32), 2)

    assert found[results.ACCURACY].value == 0.75
    assert found[results.BALANCED_ACCURACY].value == 0.5
    assert found[results.AUC].value == 0.5


@pytest.mark.parametrize('classes', KINDS)
def test_single_label_omits_metrics_that_compare_classes(classes):
    _, probabilities = predictions(classes)

    found = measured(np.ones(len(probabilities), int), probabilities, classes)

    assert list(found) == [results.ACCURACY, results.LOG_LOSS, results.BRIER]


def test_perfect_model_on_few_images_has_wide_intervals():
    labels = np.array([0, 1] * 10)

    found = measured(labels, np.where(labels, 0.9, 0.1)[:, None], 2)

    assert found[results.AUC].value == found[results.PR_AUC].value == 1
    assert found[results.ACCURACY] == wilson(20, 20)
    assert 0.6 < found[results.AUC].low < 0.95
    assert 0.6 < found[results.BALANCED_ACCURACY].low < 0.95
    assert found[results.AUC].high == 1


@pytest.mark.parametrize(('classes', 'right'), [(2, 1.5), (2, 4), (5, 3)])
def test_about_95_of_100_intervals_contain_true_value(classes, right):
    truth = measured(*predictions(classes, 200_000, seed=1, right=right), classes)
    held = dict.fromkeys(INTERVALS, 0)
    for seed in range(2, 102):
        found = measured(*predictions(classes, 300, seed, right), classes)
        for name in INTERVALS:
            held[name] += found[name].low <= truth[name].value <= found[name].high

    assert all(times >= 88 for times in held.values()), held
    assert held[results.ACCURACY] <= 99  # not by being too wide


def test_interval_narrows_with_more_images():
    few, many = (measured(*predictions(2, images), 2) for images in (200, 20_000))

    for name in INTERVALS:
        widths = [each.high - each.low for each in (few[name], many[name])]
        assert widths[1] < widths[0] / 5


def area(across, up):
    return np.sum(np.diff(across) * (up[1:] + up[:-1]) / 2)


@pytest.mark.parametrize('classes', KINDS)
def test_areas_under_curves_equal_estimates(classes):
    labels, probabilities = predictions(classes, 2000)
    counts = count(labels, probabilities, 0.5)

    found = curves(counts)

    (across, up), told = np.array(found.roc).T, estimates(counts, classes)
    assert (found.roc[0], found.roc[-1]) == ((0, 0), (1, 1))
    assert area(across, up) == pytest.approx(told[results.AUC].value, abs=0.005)
    recall, precision = np.array(found.precision_recall).T
    assert area(recall, precision) == pytest.approx(told[results.PR_AUC].value, abs=0.02)
    assert sum(bucket.images for bucket in found.calibration) == 2000


def test_curve_of_many_scores_is_thinned():
    found = curves(count(*predictions(2, 50_000), 0.5))

    assert 150 < len(found.roc) <= 201


def test_size_of_counts_is_bounded():
    def size(counts: Counts) -> int:
        scores = counts.places.nbytes + counts.scores.nbytes
        return counts.losses.nbytes + scores + counts.confidence.nbytes

    random = np.random.default_rng(0)
    everywhere = 1 / (1 + np.exp(-random.uniform(-17, 17, (500_000, 1))))
    counted = count(random.integers(0, 2, 500_000), everywhere, 0.5)

    assert size(counted + counted) == size(counted) < 7_000_000
