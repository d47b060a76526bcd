"""Keras callbacks: validation with the best weights, and progress bars."""

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from common import console
from trainer.training.calibration import log_loss

Logs = dict[str, float] | None
_NAMES = {'loss': 'loss', 'accuracy': 'acc', 'val_loss': 'val loss', 'val_accuracy': 'val acc'}


def make_predict(model: keras.Model, batches: tf.data.Dataset) -> Callable[[], np.ndarray]:
    """Returns a function that computes the logits, [n, 1] or [n, classes], of batches with labels.

    `predict` of Keras traces the network again for a smaller last batch.
    """
    predict = tf.function(
        lambda inputs: model(tf.cast(inputs, tf.float32), training=False), autograph=False
    ).get_concrete_function(tf.TensorSpec(model.input_shape, batches.element_spec[0].dtype))
    return lambda: np.concatenate([predict(inputs).numpy() for inputs, _ in batches])


class Best(NamedTuple):
    """The best weights of a training until now."""

    weights: list[np.ndarray]
    epoch: int | None  # of the stage, from 1; None if none was better than the weights before it
    loss: float  # on the validation split; infinite without weights before
    logits: np.ndarray | None  # on the validation split, [n, 1] or [n, classes]


class Validation(keras.callbacks.Callback):
    """Validates after each epoch, and keeps the weights with the lowest 'val_loss' as `best`.

    Adds 'val_loss', 'val_accuracy' and 'learning_rate' to the metrics. 'val_loss' is the log loss
    of the predictions that would be exported: after temperature scaling if `calibrated`, without
    label smoothing and penalties. Networks become overconfident in fine-tuning while their classes
    still improve. Class weights apply to it, but not to the temperature, as in the export.

    Keras' EarlyStopping would take the first epoch if none is better than the weights before it.
    """

    def __init__(
        self,
        model: keras.Model,
        batches: tf.data.Dataset,
        labels: np.ndarray,
        weights: np.ndarray | None,
        *,
        calibrated: bool,
    ) -> None:
        """Takes the model of a stage, and batches and labels, [n], of the validation split.

        Batches are in the order of the labels. `weights` are those of the classes, [classes].
        """
        super().__init__()
        self._predict, self._labels = make_predict(model, batches), labels.astype(int)
        self._weights = None if weights is None else weights[self._labels]
        self._calibrated = calibrated
        self.best = Best(model.get_weights(), None, np.inf, None)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        assert logs is not None
        loss, accuracy, logits = self.measure()
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        logs.update(val_loss=loss, val_accuracy=accuracy, learning_rate=float(rate))
        if loss < self.best.loss:  # NaN is no improvement
            self.best = Best(self.model.get_weights(), epoch + 1, loss, logits)

    def on_train_end(self, logs: Logs = None) -> None:
        self.model.set_weights(self.best.weights)

    def measure(self) -> tuple[float, float, np.ndarray]:
        """Computes loss, accuracy and logits, [n, 1] or [n, classes]."""
        logits = self._predict()
        predicted = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(axis=1)
        loss = log_loss(logits, self._labels, self._weights, calibrated=self._calibrated)
        return loss, float((predicted == self._labels).mean()), logits


class EpochBars(keras.callbacks.Callback):
    """Progress bar for each epoch, with loss and accuracy."""

    def __init__(self, stage: str, open_bars: contextlib.ExitStack) -> None:
        super().__init__()
        self._stage, self._open = stage, open_bars

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        name = f'{self._stage} {epoch + 1}/{self.params["epochs"]}'
        self._bar = self._open.enter_context(console.bar(name, self.params['steps']))

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self._advance(1, logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._advance(0, logs)
        self._open.close()

    def _advance(self, steps: int, logs: Logs) -> None:
        values = (logs or {}).items()
        texts = [f'{_NAMES[key]} {value:.3f}' for key, value in values if key in _NAMES]
        self._bar.advance(steps, text=' '.join(texts))
