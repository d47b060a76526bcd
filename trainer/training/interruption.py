"""The state of a training, from which an interrupted one continues."""

import contextlib
import logging
import pickle
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from common.files import replacing
from trainer.training.callbacks import Validation

_MAX_SHARE = 0.01  # of the training time that backups may take

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
            state = pickle.loads(self._file.read_bytes())
        except FileNotFoundError:
            return False
        except Exception as error:  # a damaged file raises anything
            _log.warning('%s starts again, as its backup is damaged: %s', self._name, error)
            return False
        self.epochs = state['epochs']
        self._best.best = state['best']
        self.model.set_weights(state['weights'])
        for variable, value in zip(self.model.optimizer.variables, state['optimizer'], strict=True):
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
        optimizer = [keras.ops.convert_to_numpy(each) for each in self.model.optimizer.variables]
        state = {'epochs': self.epochs, 'best': self._best.best, 'ended': ended}
        state |= {'weights': self.model.get_weights(), 'optimizer': optimizer}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self._file) as partial:
            partial.write_bytes(pickle.dumps(state))
