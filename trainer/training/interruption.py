"""The state of a training, from which an interrupted one continues."""

import contextlib
import json
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from common.files import replacing
from trainer.training.callbacks import Best, Validation

_MAX_SHARE = 0.01  # of the training time that backups may take
_PARTS = ('weights', 'optimizer', 'best')  # arrays of a state

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def resumable(folder: Path, key: str) -> Iterator[Path]:
    """Gives the folder of the training with a key, which is removed at the end of the block.

    If the block raises, or the process is killed, the folder stays. The next training with the same
    key gets it; one with another key removes it.
    """
    own = folder / key
    for other in folder.glob('*'):
        if other != own:
            shutil.rmtree(other, ignore_errors=True)  # another training may end meanwhile
    own.mkdir(parents=True, exist_ok=True)
    yield own
    shutil.rmtree(folder, ignore_errors=True)


class Progress(keras.callbacks.Callback):
    """Keeps the metrics of the epochs, and the state of a stage in one file.

    It is written after an epoch, unless that would cost more than 1 % of the time, and at the end.
    """

    def __init__(self, file: Path, name: str, model: keras.Model, best: Validation) -> None:
        super().__init__()
        self.set_model(model)
        self._file, self._name, self._best = file, name, best
        self._seconds, self._written = 0.0, time.perf_counter()
        self.epochs: list[dict[str, float]] = []

    def restore(self) -> bool:
        """Restores an interrupted stage, if there is one; returns whether it has ended.

        A stage with a damaged file starts again.
        """
        try:
            # Without pickle, since the folder may be shared.
            with self._file.open('rb') as file, np.load(file) as stored:
                state = json.loads(str(stored['state']))
                weights, optimizer, best = (
                    [stored[f'{part} {number}'] for number in range(state[part])] for part in _PARTS
                )
                logits = stored.get('logits')
            if [each.shape for each in weights] != [each.shape for each in self._best.best.weights]:
                raise ValueError('other layers were trained')
        except FileNotFoundError:
            return False
        except Exception as error:  # a damaged file raises anything
            _log.warning('%s starts again, as its backup is damaged: %s', self._name, error)
            return False
        self.epochs = state['epochs']
        self._best.best = Best(best, state['best_epoch'], state['best_loss'], logits)
        self.model.set_weights(weights)
        for variable, value in zip(self.model.optimizer.variables, optimizer, strict=True):
            variable.assign(value)
        return bool(state['ended'])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs.append({name: float(value) for name, value in logs.items()})
        start = time.perf_counter()
        if start - self._written >= self._seconds / _MAX_SHARE:
            self._write(ended=False)
            self._written = time.perf_counter()
            self._seconds = self._written - start

    def on_train_end(self, logs: Any = None) -> None:
        self._write(ended=True)

    def _write(self, *, ended: bool) -> None:
        best, optimizer = self._best.best, self.model.optimizer.variables
        values = (
            self.model.get_weights(),
            map(keras.ops.convert_to_numpy, optimizer),
            best.weights,
        )
        parts = dict(zip(_PARTS, map(list, values), strict=True))
        state = {'epochs': self.epochs, 'best_epoch': best.epoch, 'best_loss': best.loss}
        state |= {'ended': ended, **{part: len(arrays) for part, arrays in parts.items()}}
        stored = {f'{part} {n}': each for part in _PARTS for n, each in enumerate(parts[part])}
        if best.logits is not None:
            stored['logits'] = best.logits
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._file) as partial, partial.open('wb') as file:
            np.savez(file, state=json.dumps(state), **stored)
