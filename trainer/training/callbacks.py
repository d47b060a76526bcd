"""What happens between epochs: best weights are kept, a person sees a bar, numbers are noted."""

import contextlib

import keras

from common import console
from trainer.training.stage_history import StageHistory


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights with the lowest validation loss, over all stages.

    A stage that never beats the one before it leaves the weights as it found them. It ends early
    when it has not improved on itself for `patience` epochs.

    Attributes:
        best_loss: lowest validation loss so far.
        best_epoch: of the stage that runs or ran last, from 1; None if none of its epochs was best.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patience = 0
        self.best_loss = float('inf')
        self.best_epoch: int | None = None
        self._epochs_without = 0
        self._best_of_stage = float('inf')

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._epochs_without = 0
        self._best_of_stage = float('inf')
        self.best_epoch = None
        self._weights = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        loss = (logs or {})['val_loss']
        self._epochs_without += 1
        if loss < self._best_of_stage:
            self._best_of_stage, self._epochs_without = loss, 0
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, epoch + 1
            self._weights = self.model.get_weights()
        if self.patience and self._epochs_without >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.model.set_weights(self._weights)


class EpochBars(keras.callbacks.Callback):
    """A progress bar for each epoch, with loss and accuracy.

    As a context it ends the bar of an epoch that is interrupted.
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
        self._bar.advance(text=_numbers(logs or {}))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._bar.advance(0, text=_numbers(logs or {}))
        self._open.close()


def stage_history(name: str, fitted: keras.callbacks.History, best: BestWeights) -> StageHistory:
    """What an ended stage leaves to look at."""
    metrics = {key: tuple(map(float, values)) for key, values in fitted.history.items()}
    return StageHistory(name, metrics, best.best_epoch, best.patience)


def _numbers(logs: dict[str, float]) -> str:
    names = {'loss': 'loss', 'accuracy': 'acc', 'val_loss': 'val loss', 'val_accuracy': 'val acc'}
    return ' '.join(f'{names[key]} {value:.3f}' for key, value in logs.items() if key in names)
