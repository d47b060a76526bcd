"""Temperature scaling: fit, degenerate inputs, and the scaled model."""

import io

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from common import console
from trainer.export.calibration import calibrate, fit_temperature
from trainer.model.network import join

LABELS = np.array([0, 1, 1, 0])


@pytest.mark.parametrize('classes', [2, 3])
@pytest.mark.parametrize('temperature', [1.3, 2.5])
def test_fit_finds_the_temperature_of_overconfident_models(classes, temperature):
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (20_000, 1 if classes == 2 else classes))
    by_class = np.hstack([0 * logits, logits]) if classes == 2 else logits
    shares = scipy.special.softmax(by_class / temperature, axis=1).cumsum(axis=1)
    labels = (random.uniform(size=(len(logits), 1)) > shares).sum(axis=1)

    found = fit_temperature(logits, labels)

    assert found.temperature == pytest.approx(temperature, rel=0.1)
    assert found.problem is None
    assert found.after.log_loss < found.before.log_loss
    assert found.after.calibration_error < min(0.02, found.before.calibration_error)


def test_measures_are_those_of_the_definitions():
    logits = np.array([[-1.0], [2.0], [-0.5], [0.25]])
    found = fit_temperature(logits, LABELS)
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
        ([1, -1, -1, 1], 'the best temperature is above 20'),
    ],
)
def test_temperature_is_1_if_the_log_loss_has_no_minimum_above(logits, problem):
    found = fit_temperature(np.array(logits, float)[:, np.newaxis], LABELS)
    assert found.temperature == 1
    assert found.problem == problem
    assert found.after == found.before


@pytest.mark.parametrize('logit', [np.nan, np.inf])
def test_logits_that_are_not_finite_are_not_calibrated(logit):
    assert fit_temperature(np.array([[1.0], [logit], [1.0], [1.0]]), LABELS) is None


@pytest.fixture(params=['small_job', 'job_of_three'])
def job_and_network(request, small_jobs):
    """A job, and its network with random weights of the head, which gives wrong predictions."""
    job = small_jobs[request.param]()
    network = job.build_network()
    weights = network.head.get_weights()
    weights[-2] = np.random.default_rng(0).normal(0, 50, weights[-2].shape).astype(np.float32)
    network.head.set_weights(weights)
    return job, network


def test_calibration_scales_logits_and_changes_no_weight_and_no_class(job_and_network):
    job, network = job_and_network
    weights = network.head.get_weights()
    model = join(network)
    stream = io.StringIO()
    with console.output_to(stream):
        scaled, calibration = calibrate(model, job.splits['eval'])
    images, labels = next(iter(job.splits['eval'].batches(1000)))
    logits, after = (each(tf.cast(images, tf.float32)).numpy() for each in (model, scaled))
    assert calibration.temperature != 1
    assert calibration == fit_temperature(logits, labels.numpy())
    assert f'temperature scaling: {calibration.temperature:.3g}, fitted on 24' in stream.getvalue()
    np.testing.assert_allclose(after * calibration.temperature, logits, rtol=1e-4, atol=1e-5)
    assert (after.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert ((after > 0) == (logits > 0)).all()
    assert len(scaled.variables) == len(model.variables)
    for before, now in zip(weights, network.head.get_weights(), strict=True):
        np.testing.assert_array_equal(before, now)


def test_diverged_model_is_not_scaled(small_job):
    job = small_job()
    network = job.build_network()
    network.head.set_weights([np.full_like(each, np.nan) for each in network.head.get_weights()])
    model = join(network)
    stream = io.StringIO()
    with console.output_to(stream):
        scaled, calibration = calibrate(model, job.splits['eval'])
    assert scaled is model
    assert calibration is None
    assert 'no finite logits on eval' in stream.getvalue()
