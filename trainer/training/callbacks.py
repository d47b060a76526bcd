"""Keras callbacks: validate, keep the best weights, stop early, show progress."""

import contextlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from common import console
from trainer.training.calibration import log_loss

Logs = dict[str, float] | None
_BEST_STATE = ('best_loss', 'best_epoch', 'best_of_stage', 'epochs_without_improvement')
_NAMES = {'loss': 'loss', 'accuracy': 'acc', 'val_loss': 'val loss', 'val_accuracy': 'val acc'}


def make_predict(model: keras.Model, batches: tf.data.Dataset) -> Callable[[], np.ndarray]:
    """Returns a function that computes the logits, [n, 1] or [n, classes], of batches with labels.

    `predict` of Keras traces the network again for a smaller last batch.
    """
    predict = tf.function(
        lambda inputs: model(tf.cast(inputs, tf.float32), training=False), autograph=False
    ).get_concrete_function(tf.TensorSpec(model.input_shape, batches.element_spec[0].dtype))
    return lambda: np.concatenate([predict(inputs).numpy() for inputs, _ in batches])


class Validation(keras.callbacks.Callback):
    """Adds 'val_loss' and 'val_accuracy' to the metrics of each epoch.

    'val_loss' is the log loss of the predictions that would be exported: after temperature scaling
    if `calibrated`, without label smoothing and penalties. Networks become overconfident in
    fine-tuning while their classes still improve. Class weights apply.
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

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        assert logs is not None
        logs.update(self.measure())

    def measure(self) -> dict[str, float]:
        """Computes 'val_loss' and 'val_accuracy', and stores `logits`, [n, 1] or [n, classes]."""
        self.logits = self._predict()
        single = self.logits.shape[1] == 1
        predicted = self.logits[:, 0] > 0 if single else self.logits.argmax(axis=1)
        return {
            'val_loss': log_loss(
                self.logits, self._labels, self._weights, calibrated=self._calibrated
            ),
            'val_accuracy': float((predicted == self._labels).mean()),
        }


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights with the lowest 'val_loss' over all stages, and stops early.

    A stage that never improves on the loss before it leaves the weights unchanged. A stage stops
    after `patience` epochs without improvement on its own lowest loss; 0 disables early stopping.
    `best_epoch` counts from 1 in the current stage; None if no epoch improved. `logits` are those
    of the kept weights on the validation split, [n, 1] or [n, classes]; None before a finite loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patience, self.best_loss = 0, float('inf')
        self.logits: np.ndarray | None = None

    def start_stage(self, model: keras.Model, validation: Validation, patience: int) -> None:
        """Sets model and validation of the next stage; its callback runs before this one."""
        self.set_model(model)
        self._validation, self.patience = validation, patience
        self.epochs_without_improvement, self.best_of_stage = 0, float('inf')
        self.best_epoch: int | None = None
        self.weights: list[np.ndarray] = model.get_weights()

    @property
    def state(self) -> dict[str, float | None]:
        """The state of the stage besides `weights` and `logits`."""
        return {name: getattr(self, name) for name in _BEST_STATE}

    def restore(
        self, state: dict[str, float | None], weights: list[np.ndarray], logits: np.ndarray | None
    ) -> None:
        """Continues with the state of an interrupted training, after `start_stage`."""
        for name in _BEST_STATE:
            setattr(self, name, state[name])
        self.weights, self.logits = weights, logits

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        loss = (logs or {})['val_loss']
        self.epochs_without_improvement += 1
        if loss < self.best_of_stage:
            self.best_of_stage, self.epochs_without_improvement = loss, 0
        if self.improves(loss):
            self.best_epoch = epoch + 1
            self.weights = self.model.get_weights()
        if self.patience and self.epochs_without_improvement >= self.patience:
            self.model.stop_training = True

    def improves(self, loss: float) -> bool:
        """Whether the loss is lower than any before; then records it with its logits."""
        if not loss < self.best_loss:  # NaN is no improvement
            return False
        self.best_loss, self.logits = loss, self._validation.logits
        return True

    def on_train_end(self, logs: Logs = None) -> None:
        """Leaves the best weights in the model."""
        self.model.set_weights(self.weights)


class LearningRate(keras.callbacks.Callback):
    """Adds 'learning_rate' after the last step to the metrics of each epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        assert logs is not None
        rate = self.model.optimizer.learning_rate
        logs['learning_rate'] = float(keras.ops.convert_to_numpy(rate))


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
