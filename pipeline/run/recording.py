"""Records a run while it runs: its start, and its result or error."""

import datetime
import logging
from pathlib import Path
from types import TracebackType
from typing import Any

from common.errors import FAILED, INTERRUPTED, PipelineError
from common.storage import Folder
from pipeline.config.recipe import Recipe
from pipeline.run.record import (
    LAST_TICK,
    RECIPE_LOCK,
    RUNS,
    Result,
    Run,
    record_file,
    utc_now,
    write_run,
)

_log = logging.getLogger(__name__)


def new_run(recipe: Recipe, now: datetime.datetime) -> Run:
    """The record of a run on this machine that starts now."""
    config = recipe.model_dump(mode='json')
    return Run(id=now.isoformat(), recipe=recipe.name, started=now, config=config)


class Recording:
    """The record of a run that this process runs; an exception in the block is the run's end.

    A run has a file from `start` on. A tick that ends before replaces `last_tick.json`; a run on
    Kubeflow has a file of its own, because others may run at once. An error of writing is a
    warning, because a model may be live.
    """

    def __init__(self, home: Path, run: Run) -> None:
        self.home, self.run = home, run
        self._storage = Folder(home)
        self.started = record_file(run.id) in self._storage.names(RUNS)  # by another process

    def start(self, run: str) -> None:
        """Records that the components start; `run` is the id in ML Metadata."""
        self.run, self.started = self.run.with_values(id=run), True
        self._write(start=True)

    def end(self, result: Result, **values: Any) -> Run:
        """Records the end of the run, if it has none yet; returns the record."""
        if self.run.result is None:
            now = utc_now()
            seconds = round(max(0.0, (now - self.run.started).total_seconds()), 1)
            self.add(**{'result': result, 'ended': now, 'seconds': seconds, **values})
        return self.run

    def add(self, **values: Any) -> Run:
        """Records other values of the run; returns the record."""
        self.run = self.run.with_values(**values)
        self._write()
        return self.run

    def move_to_last_tick(self) -> None:
        """Moves the record of a tick on Kubeflow that did not train out of the list of runs."""
        try:
            self._write_last_tick()
            (self.home / record_file(self.run.id)).unlink(missing_ok=True)
        except OSError as error:
            _log.warning('tick %s stays in the list of runs: %s', self.run.id, error.strerror)

    def _write(self, *, start: bool = False) -> None:
        try:
            if start and self.run.engine == 'local':
                (self.home / RECIPE_LOCK).write_text(self.run.id)  # this process holds it
            if self.started or self.run.engine == 'kubeflow':
                write_run(self.home, self.run)
            elif self.run.kind == 'tick':
                self._write_last_tick()
        except OSError as error:
            _log.warning('run %s cannot be recorded: %s', self.run.id, error.strerror or error)

    def _write_last_tick(self) -> None:
        self._storage.write(LAST_TICK, self.run.as_json().encode())

    def __enter__(self) -> 'Recording':
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.end('interrupted', reasons=('interrupted',), exit_code=INTERRUPTED)
        elif isinstance(error, Exception):
            kind = '' if isinstance(error, PipelineError) else f'{type(error).__name__}: '
            code = getattr(error, 'exit_code', FAILED)
            self.end('failed', reasons=(f'{kind}{error}',), exit_code=code)
