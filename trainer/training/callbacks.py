"""Keras callbacks: validation, best weights, backups after epochs, progress bars."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common import console
from common.files import replacing
from trainer.training.calibration import log_loss

Logs = dict[str, float] | None
_NAMES = {'loss': 'loss', 'accuracy': 'acc', 'val_loss': 'val loss', 'val_accuracy': 'val acc'}
_MAX_SHARE = 0.01  # of the training time that backups may take


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
    fine-tuning while their classes still improve. Class weights apply to it, but not to the
    temperature, as in the export.
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
    """Keeps the weights of the epoch with the lowest 'val_loss' that is below `loss`.

    Keras' EarlyStopping would take the first epoch if none is better than the weights before it.
    `epoch` counts from 1; it is None if no epoch was better, and the weights are those before the
    stage. `logits` are those of the kept weights on the validation split.
    """

    def __init__(
        self, model: keras.Model, validation: Validation, loss: float, logits: np.ndarray | None
    ) -> None:
        """Takes the loss and the logits of the weights that the model has."""
        super().__init__()
        self._validation, self.loss, self.logits = validation, loss, logits
        self.epoch: int | None = None
        self.weights = model.get_weights()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        loss = (logs or {})['val_loss']
        if loss < self.loss:  # NaN is no improvement
            self.loss, self.logits, self.epoch = loss, self._validation.logits, epoch + 1
            self.weights = self.model.get_weights()

    def on_train_end(self, logs: Logs = None) -> None:
        self.model.set_weights(self.weights)

    def save(self, path: Path) -> None:
        """Stores the weights and what is known of them."""
        logits = np.empty((0, 1)) if self.logits is None else self.logits
        with replacing(path) as partial, partial.open('wb') as file:
            np.savez(file, *self.weights, loss=self.loss, epoch=self.epoch or 0, logits=logits)

    def load(self, path: Path) -> None:
        """Takes the state of `save`; raises one of UNREADABLE, and changes nothing, if damaged."""
        with path.open('rb') as file, np.load(file) as stored:
            weights = [stored[f'arr_{number}'] for number in range(len(stored.files) - 3)]
            loss, epoch, logits = float(stored['loss']), int(stored['epoch']), stored['logits']
        if [each.shape for each in weights] != [each.shape for each in self.weights]:
            raise ValueError(f'{path.name} has the weights of other layers')
        self.weights, self.loss, self.epoch = weights, loss, epoch or None
        self.logits = logits if len(logits) else None


class Backup(keras.callbacks.BackupAndRestore):
    """Backs up the state after an epoch, unless it would cost more than 1 % of the time."""

    def __init__(self, folder: Path, best: BestWeights) -> None:
        super().__init__(str(folder), double_checkpoint=True)
        self._best, self.best_path = best, folder / 'best.npz'
        self._seconds, self._written = 0.0, time.perf_counter()

    def restore(self, model: keras.Model) -> int:
        """Restores weights, optimizer and epoch; returns the number of epochs, 0 without a backup.

        Raises one of UNREADABLE if the backup is damaged. It precedes `fit`, because the callback
        is the last one and others need the state.
        """
        if not Path(self._training_metadata_path).exists():
            return 0
        self.set_model(model)
        super().on_train_begin()
        return int(model._initial_epoch)

    def on_train_begin(self, logs: Any = None) -> None:
        """Replaces that of Keras, which restores."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        start = time.perf_counter()
        if start - self._written >= self._seconds / _MAX_SHARE:
            self.best_path.parent.mkdir(exist_ok=True)
            self._best.save(self.best_path)
            super().on_epoch_end(epoch, logs)
            self._written = time.perf_counter()
            self._seconds = self._written - start


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
