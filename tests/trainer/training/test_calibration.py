"""Temperature scaling: fit, degenerate inputs, and log loss."""

import math

import numpy as np
import pytest
import scipy.special

from trainer.training.calibration import calibrate, log_loss

LABELS = np.array([0, 1, 1, 0])


@pytest.mark.parametrize('classes', [2, 3])
@pytest.mark.parametrize('temperature', [0.5, 1.3, 2.5])
def test_fit_finds_the_temperature(classes, temperature):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (20_000, 1 if classes == 2 else classes))
    by_class = np.hstack([0 * logits, logits]) if classes == 2 else logits
    shares = scipy.special.softmax(by_class / temperature, axis=1).cumsum(axis=1)
    labels = (random.uniform(size=(len(logits), 1)) > shares).sum(axis=1)

    found = calibrate(logits, labels)

    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert found.problem is None
    assert found.after.log_loss < found.before.log_loss
    assert found.after.calibration_error < min(0.02, found.before.calibration_error)


def test_measures_are_those_of_the_definitions():
    logits = np.array([[-1.0], [2.0], [-0.5], [0.25]])
    found = calibrate(logits, LABELS)
    probability = scipy.special.expit(logits[:, 0])
    right = np.where(LABELS == 1, probability, 1 - probability)
    assert found.before.log_loss == pytest.approx(-np.log(right).mean())
    # Each probability is in a bucket of its own.
    assert found.before.calibration_error == pytest.approx(abs(probability - LABELS).mean())


@pytest.mark.parametrize(
    ('logits', 'problem'),
    [
        ([-1, 2, 3, -0.1], 'the model is not overconfident on the validation split'),
        ([-900, 900, 900, -900], 'the model is not overconfident on the validation split'),
        ([-0.1, 0.1, 0.1, 0.1], 'the model is not overconfident on the validation split'),
        ([1, -1, -1, 1], 'the best temperature is not between 1 and 20'),
    ],
)
def test_temperature_is_1_if_the_log_loss_has_no_minimum_above(logits, problem):
    found = calibrate(np.array(logits, float)[:, np.newaxis], LABELS)
    assert found.temperature == 1
    assert found.problem == problem
    assert found.after == found.before


@pytest.mark.parametrize('logits', [[[1.0], [np.nan], [1.0], [1.0]], [[np.inf]] * 4, None])
def test_logits_that_are_not_finite_are_not_calibrated(logits, caplog):
    assert calibrate(logits and np.array(logits), LABELS) is None
    assert 'no finite logits on eval' in caplog.text


@pytest.mark.parametrize('calibrated', [False, True])
def test_class_weights_change_the_loss_but_not_the_temperature(calibrated):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (1000, 1))
    labels = (logits[:, 0] > random.normal(0, 3, 1000)).astype(int)
    temperature = calibrate(logits, labels).temperature
    assert temperature > 1.5
    scaled = logits[:, 0] / (temperature if calibrated else 1)
    weights = np.where(labels == 1, 5.0, 1.0)
    expected = (weights * (np.logaddexp(0, scaled) - labels * scaled)).mean()
    found = log_loss(logits, labels, weights, calibrated=calibrated)
    assert found == pytest.approx(expected)
    assert math.isnan(log_loss(logits * math.inf, labels, weights, calibrated=calibrated))
