"""Temperature scaling of the logits of a trained model, fitted on the validation split.

Follows Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017): one number, fitted on
data that no weight was trained on, divides all logits. It leaves their order unchanged.

The temperature is at least 1, so it corrects overconfidence only. The best epoch was chosen on the
same images, which makes them look easier than new ones. In two recipes, three wrong predictions
near the threshold gave temperatures of 0.37 and 0.81, which increased the log loss of 3,000 new
photographs by up to two thirds.
"""

import logging
import math

import keras
import numpy as np
import scipy.optimize
import scipy.special
import tensorflow as tf

from trainer.data.dataset import Batches
from trainer.export.calibration_results import Calibration, CalibrationMeasures

_BATCH = 64
_MAX_TEMPERATURE = 20.0
_TOLERANCE = 1.01  # a temperature as close to a bound as this is at the bound
_BUCKETS = 10  # of probability, of equal width, as in the Evaluator

_log = logging.getLogger(__name__)


def calibrate(model: keras.Model, images: Batches) -> tuple[keras.Model, Calibration | None]:
    """Returns a model whose logits are divided by a temperature, which is not one of its weights.

    `model` maps pixels in 0..255 to logits, and `images` is the validation split. The model is
    unchanged, and there is no calibration, if its logits are not finite.
    """
    calibration = fit_temperature(*_logits(model, images))
    if calibration is None:
        _log.warning('temperature scaling: no finite logits on eval; the logits are not scaled')
        return model, None
    _log.info('%s', calibration.describe())
    return scale_logits(model, calibration.temperature), calibration


def scale_logits(model: keras.Model, temperature: float) -> keras.Model:
    """Returns the model with its logits divided by `temperature`."""
    if temperature == 1:
        return model
    scaled = keras.layers.Rescaling(1 / temperature, name='temperature')(model.output)
    return keras.Model(model.input, scaled, name=model.name)


def _logits(model: keras.Model, images: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Returns logits and labels, [n, 1]."""
    predict = tf.function(
        lambda pixels: model(tf.cast(pixels, tf.float32), training=False),
        input_signature=[tf.TensorSpec(model.input_shape, tf.uint8)],
        autograph=False,
    )
    logits, labels = zip(
        *((predict(batch).numpy(), truth.numpy()) for batch, truth in images.batches(_BATCH)),
        strict=True,
    )
    return np.concatenate(logits), np.concatenate(labels)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> Calibration | None:
    """Fits the temperature with the lowest log loss to logits, [n, 1] or [n, classes], and labels.

    The temperature is 1, with a `problem`, if the minimum is not between 1 and 20. If all
    predictions are correct, a lower temperature is always better. Returns None if a logit is NaN or
    infinite, or if there are no images.
    """
    logits, labels = logits.astype(np.float64), labels.ravel().astype(int)
    if not len(labels) or not np.isfinite(logits).all():
        return None
    by_class = np.hstack([np.zeros_like(logits), logits]) if logits.shape[1] == 1 else logits
    before = _measure(by_class, labels)
    all_correct = (by_class.argmax(axis=1) == labels).all()  # the log loss may be 0 everywhere
    temperature, problem = 1.0 if all_correct else _minimize_log_loss(by_class, labels), None
    if temperature < _TOLERANCE:
        temperature, problem = 1.0, 'the model is not overconfident on the validation split'
    elif temperature > _MAX_TEMPERATURE / _TOLERANCE:
        temperature, problem = 1.0, f'the best temperature is above {_MAX_TEMPERATURE:g}'
    after = _measure(by_class / temperature, labels)
    return Calibration(
        temperature=temperature, images=len(labels), before=before, after=after, problem=problem
    )


def _minimize_log_loss(by_class: np.ndarray, labels: np.ndarray) -> float:
    # The log loss is convex in the inverse of the temperature, so it has one minimum.
    found = scipy.optimize.minimize_scalar(
        lambda exponent: _log_loss(by_class / math.exp(exponent), labels),
        bounds=(0.0, math.log(_MAX_TEMPERATURE)),
        method='bounded',
    )
    return math.exp(found.x)


def _log_loss(by_class: np.ndarray, labels: np.ndarray) -> float:
    log_probability = scipy.special.log_softmax(by_class, axis=1)
    return float(-log_probability[np.arange(len(labels)), labels].mean())


def _measure(by_class: np.ndarray, labels: np.ndarray) -> CalibrationMeasures:
    probability = scipy.special.softmax(by_class, axis=1)
    confidence, correct = probability.max(axis=1), probability.argmax(axis=1) == labels
    if probability.shape[1] == 2:
        confidence, correct = probability[:, 1], labels == 1
    bucket = (confidence * _BUCKETS).astype(int).clip(0, _BUCKETS - 1)
    gaps = np.bincount(bucket, confidence - correct, _BUCKETS)
    error = float(np.abs(gaps).sum() / len(labels))
    return CalibrationMeasures(log_loss=_log_loss(by_class, labels), calibration_error=error)
