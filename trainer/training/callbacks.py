"""Keras callbacks: keep the best weights, stop early, show progress bars."""

import contextlib

import keras

from common import console


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights with the lowest validation loss over all stages, and stops early.

    A stage that never improves on the loss before it leaves the weights unchanged. A stage stops
    after `patience` epochs without improvement on its own lowest loss.

    Attributes:
        patience: in epochs; 0: early stopping is disabled.
        best_loss: lowest validation loss so far.
        best_epoch: best epoch of the current or last stage, from 1; None if it did not improve.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patience = 0
        self.best_loss = float('inf')
        self.best_epoch: int | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._epochs_without_improvement = 0
        self._best_of_stage = float('inf')
        self.best_epoch = None
        self._weights = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        loss = (logs or {})['val_loss']
        self._epochs_without_improvement += 1
        if loss < self._best_of_stage:
            self._best_of_stage, self._epochs_without_improvement = loss, 0
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, epoch + 1
            self._weights = self.model.get_weights()
        if self.patience and self._epochs_without_improvement >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.model.set_weights(self._weights)


class EpochBars(keras.callbacks.Callback):
    """Progress bar for each epoch, with loss and accuracy.

    Used as a context manager, it ends the bar of an epoch that an exception interrupts.
    """

    def __init__(self, stage: str) -> None:
        super().__init__()
        self._stage = stage
        self._open = contextlib.ExitStack()

    def __enter__(self) -> 'EpochBars':
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        name = f'{self._stage} {epoch + 1}/{self.params["epochs"]}'
        self._bar = self._open.enter_context(console.bar(name, self.params['steps']))

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._bar.advance(text=_format_metrics(logs or {}))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._bar.advance(0, text=_format_metrics(logs or {}))
        self._open.close()


def _format_metrics(logs: dict[str, float]) -> str:
    names = {'loss': 'loss', 'accuracy': 'acc', 'val_loss': 'val loss', 'val_accuracy': 'val acc'}
    return ' '.join(f'{names[key]} {value:.3f}' for key, value in logs.items() if key in names)
