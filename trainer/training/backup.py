"""Backups of a training at the end of its epochs, from which an interrupted one continues.

BackupAndRestore of Keras does not suffice: it stores neither the best weights nor metrics nor the
state of early stopping, and it writes weights and epoch to two files. A process that is killed
between the two writes repeats an epoch on the weights after it.
"""

import dataclasses
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from pydantic import TypeAdapter

from common.files import UNREADABLE, replacing
from trainer.training.callbacks import BestWeights, Logs
from trainer.training.stage_history import StageHistory

_JSON = ('stage', 'epoch', 'stopped', 'metrics', 'loss_before', 'best')  # with NaN and infinity
_MAX_SHARE = 0.01  # of the training time that backups may take

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Backup:
    """State of a training after an epoch."""

    histories: list[StageHistory]  # of the stages before this one
    stage: str  # key in the recipe
    epoch: int  # finished epochs of the stage
    stopped: bool  # whether the stage stopped early after this epoch
    metrics: Mapping[str, Sequence[float]]  # of each finished epoch of the stage
    loss_before: float | None  # as in StageHistory
    best: dict[str, float | None]  # `BestWeights.state`
    variables: list[np.ndarray]  # of model and optimizer
    best_weights: list[np.ndarray]
    logits: np.ndarray | None  # of 'eval', of the best weights

    def restore(self, model: keras.Model, best: BestWeights) -> None:
        """Restores a compiled model of the same stage, and the best weights so far."""
        for variable, value in zip(_variables(model), self.variables, strict=True):
            variable.assign(value)
        best.restore(self.best, self.best_weights, self.logits)


class BackupFile:
    """The last backup of a training, replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Backup | None:
        """Reads the backup; None if there is none. One that is damaged is removed, and logged."""
        try:
            # NumPy leaves a damaged file open that it has opened itself.
            with self._path.open('rb') as file, np.load(file, allow_pickle=False) as stored:
                return _parse(stored)
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            _log.warning('%s is damaged (%s): the training starts again', self._path, error)
            self._path.unlink()
            return None

    def write(self, backup: Backup) -> None:
        """Replaces the backup; a process that is killed meanwhile leaves the one before."""
        state = {name: getattr(backup, name) for name in _JSON}
        state['histories'] = [dataclasses.asdict(each) for each in backup.histories]
        arrays = {f'variable-{n}': value for n, value in enumerate(backup.variables)}
        arrays |= {f'best-{n}': value for n, value in enumerate(backup.best_weights)}
        if backup.logits is not None:
            arrays['logits'] = backup.logits
        with replacing(self._path) as partial, partial.open('wb') as file:
            np.savez(file, state=json.dumps(state), **arrays)


def _parse(stored: Any) -> Backup:
    """Reads a backup from an open `.npz` file."""
    state = json.loads(str(stored['state']))
    state['histories'] = TypeAdapter(list[StageHistory]).validate_python(state['histories'])

    def group(name: str) -> list[np.ndarray]:
        count = sum(each.startswith(f'{name}-') for each in stored.files)
        return [stored[f'{name}-{number}'] for number in range(count)]

    return Backup(
        **state,
        variables=group('variable'),
        best_weights=group('best'),
        logits=stored['logits'] if 'logits' in stored.files else None,
    )


class EpochBackups(keras.callbacks.Callback):
    """Writes a backup after an epoch, unless it would cost more than 1 % of the time.

    Its place is after the callbacks that add metrics or keep weights.
    """

    def __init__(
        self,
        file: BackupFile,
        stage: str,
        histories: Sequence[StageHistory],
        best: BestWeights,
        loss_before: float | None,
        metrics: Mapping[str, Sequence[float]],
    ) -> None:
        """`metrics` are those of the epochs before an interruption."""
        super().__init__()
        self._file, self._best = file, best
        self._constant: dict[str, Any] = {
            'stage': stage,
            'histories': list(histories),
            'loss_before': loss_before,
        }
        self._metrics = {name: list(values) for name, values in metrics.items()}
        self._seconds, self._written = 0.0, time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        for name, value in (logs or {}).items():
            self._metrics.setdefault(name, []).append(float(value))
        start = time.perf_counter()
        if start - self._written < self._seconds / _MAX_SHARE:
            return
        self._file.write(
            Backup(
                epoch=epoch + 1,
                stopped=bool(self.model.stop_training),
                metrics=self._metrics,
                best=self._best.state,
                variables=[each.numpy() for each in _variables(self.model)],
                best_weights=self._best.weights,
                logits=self._best.logits,
                **self._constant,
            )
        )
        self._written = time.perf_counter()
        self._seconds = self._written - start


def _variables(model: keras.Model) -> list[keras.Variable]:
    """Weights, states of random generators, and variables of the optimizer."""
    return [*model.variables, *model.optimizer.variables]
