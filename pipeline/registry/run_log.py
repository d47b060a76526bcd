"""The log of the runs of a recipe, also of those that failed: a file of JSON lines.

A run has a line when it starts, with its recipe, and one when it ends; the last one with an
attribute has its value. Imports no TFX.
"""

import collections
import contextlib
import datetime
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from common.files import is_locked
from common.json_lines import append_line, read_lines
from components.pusher.serving_folder import Moment
from pipeline.config.recipe import Recipe

LOG_FILE = 'runs.jsonl'  # in the home of the recipe
RECIPE_LOCK = '.lock'  # in the home of the recipe; a local run holds it
_READ = 2**23  # bytes from the end of the file; more than a thousand runs

_log = logging.getLogger(__name__)


class LoggedRun(BaseModel):
    """A run, local or on Kubeflow."""

    model_config = ConfigDict(frozen=True, extra='ignore')

    run: str  # id in ML Metadata
    started: Moment
    config: dict[str, Any]  # all keys of the recipe
    engine: Literal['local', 'kubeflow'] = 'local'
    # Of the gate, or how the run ended before it; None while it runs, and if it was killed
    result: Literal['blessed', 'not blessed', 'failed', 'interrupted', 'running'] | None = None
    reason: str = ''  # why it is not blessed, or the error
    accuracy: float | None = None  # on the test split, 0 to 1
    model: str | None = None  # URI of the Trainer's model
    version: str | None = None  # that the model was pushed as
    unchanged: bool = False  # whether an earlier run had pushed the model
    seconds: float | None = None  # with imports; on Kubeflow, the sum over the tasks


class Runs(NamedTuple):
    """The logged runs of a recipe, oldest first, and the number of lines that are no such run."""

    runs: list[LoggedRun]
    damaged: int


def log_run(home: Path, run: str, **values: Any) -> None:
    """Adds attributes of `LoggedRun` to a run; an error is a warning, because a model may be live.

    The first call has `started` and `config`.
    """
    line = json.dumps({'run': run, **values}, default=str)  # ASCII: paths may be undecodable
    try:
        append_line(home / LOG_FILE, line)
    except OSError as error:
        _log.warning('%s cannot be written: %s', home / LOG_FILE, error.strerror)


def read_runs(home: Path) -> Runs:
    """Reads the runs of a recipe, given by its home folder.

    A run without a result is `running` if it is the newest one and, for a local run, the lock of
    the recipe is held; else `interrupted`.

    Raises:
        OSError: the file cannot be read.
    """
    merged: dict[str, dict[str, Any]] = collections.defaultdict(dict)
    damaged = 0
    for line in read_lines(home / LOG_FILE, _READ):
        try:
            values = json.loads(line)
            merged[values['run']].update(values)
        except (ValueError, TypeError, KeyError, RecursionError):
            damaged += 1
    runs = []
    for values in merged.values():
        try:
            runs.append(LoggedRun.model_validate(values))
        except ValidationError:
            damaged += 1
    runs.sort(key=lambda run: run.started)
    return Runs([_with_result(home, run, newest=run is runs[-1]) for run in runs], damaged)


def _with_result(home: Path, run: LoggedRun, *, newest: bool) -> LoggedRun:
    if run.result:
        return run
    may_run = newest and (run.engine == 'kubeflow' or is_locked(home / RECIPE_LOCK))
    return run.model_copy(update={'result': 'running' if may_run else 'interrupted'})


class LocalRun:
    """Logs one run on this machine, from `start` on; see `logged`."""

    def __init__(self, recipe: Recipe, start: float) -> None:
        """`start` is the `time.perf_counter` when the command started."""
        self._recipe, self._start, self._run = recipe, start, ''
        self._started = datetime.datetime.now(datetime.timezone.utc)

    def start(self, run: str) -> None:
        """Logs that the components start."""
        self._run = run
        config = self._recipe.model_dump(mode='json')
        log_run(self._recipe.home, run, started=self._started, config=config)

    def end(self, result: str, **values: Any) -> None:
        """Logs how the run ended; does nothing if it has not started, or has ended."""
        if self._run:
            seconds = round(time.perf_counter() - self._start, 1)
            values = {'result': result, 'seconds': seconds, **values}
            log_run(self._recipe.home, self._run, **values)
            self._run = ''


@contextlib.contextmanager
def logged(recipe: Recipe, start: float) -> Iterator[LocalRun]:
    """Logs an exception in the block as the end of the run."""
    run = LocalRun(recipe, start)
    try:
        yield run
    except KeyboardInterrupt:
        run.end('interrupted')
        raise
    except Exception as error:
        run.end('failed', reason=str(error) or type(error).__name__)
        raise
