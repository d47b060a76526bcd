"""Keras callbacks: keep the best weights, stop early, show progress bars."""

import contextlib

import keras

from common import console

Logs = dict[str, float] | None
_NAMES = {'loss': 'loss', 'accuracy': 'acc', 'val_loss': 'val loss', 'val_accuracy': 'val acc'}


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights with the lowest validation loss over all stages, and stops early.

    A stage that never improves on the loss before it leaves the weights unchanged. A stage stops
    after `patience` epochs without improvement on its own lowest loss; 0 disables early stopping.
    `best_epoch` counts from 1 in the current stage; None if no epoch improved.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patience, self.best_loss = 0, float('inf')

    def on_train_begin(self, logs: Logs = None) -> None:
        self._epochs_without_improvement, self._best_of_stage = 0, float('inf')
        self.best_epoch: int | None = None
        self._weights = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        loss = (logs or {})['val_loss']
        self._epochs_without_improvement += 1
        if loss < self._best_of_stage:
            self._best_of_stage, self._epochs_without_improvement = loss, 0
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, epoch + 1
            self._weights = self.model.get_weights()
        if self.patience and self._epochs_without_improvement >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        self.model.set_weights(self._weights)


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
