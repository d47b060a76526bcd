"""Records a run while it runs: its start, and its result or error."""

import contextlib
import datetime
import logging
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from common.errors import FAILED, INTERRUPTED, PipelineError, StorageError
from common.storage import storage_of
from pipeline.code_version import git_commit
from pipeline.config.recipe import Recipe
from pipeline.run.record import LAST_TICK, RECIPE_LOCK, Result, Run, record_file, utc_now, write_run

_log = logging.getLogger(__name__)


def new_run(recipe: Recipe, now: datetime.datetime, **values: Any) -> Run:
    """The record of a run that starts now; its id is the local time, unless `values` has one."""
    run_id = now.astimezone().replace(tzinfo=None).isoformat()
    config = recipe.model_dump(mode='json')
    own = {'id': run_id, 'recipe': recipe.name, 'started': now, 'config': config}
    return Run.model_validate({**own, 'commit': git_commit(), **values})


class Recording:
    """The record of a run that this process runs; an exception in the block is the run's end.

    A run has a file from `start` on. A tick that ends before replaces `last_tick.json`; a run on
    Kubeflow has a file of its own, because others may run at once. An error of writing is a
    warning, because a model may be live.
    """

    def __init__(self, home: Path, run: Run) -> None:
        self.home, self.run = home, run
        self._file = LAST_TICK if run.kind == 'tick' else None
        if run.engine == 'kubeflow' or (home / record_file(run.id)).is_file():
            self._file = record_file(run.id)

    def start(self) -> None:
        """Records that the components start, and that this process holds the recipe's lock."""
        self._file = record_file(self.run.id)
        with self._warning():
            (self.home / RECIPE_LOCK).write_text(self.run.id)
        self.add()

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
        if self._file:
            with self._warning():
                write_run(self.home, self.run, self._file)
        return self.run

    def move_to_last_tick(self) -> None:
        """Moves the record of a tick that did not train out of the list of runs."""
        with self._warning():
            write_run(self.home, self.run, LAST_TICK)
            storage_of(self.home).remove(record_file(self.run.id))

    @contextlib.contextmanager
    def _warning(self) -> Iterator[None]:
        try:
            yield
        except (OSError, StorageError) as error:
            reason = getattr(error, 'strerror', None) or error
            _log.warning('run %s cannot be recorded: %s', self.run.id, reason)

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
