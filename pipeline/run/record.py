"""The record of a run: one JSON file, written at its start and replaced at its end. Imports no TFX.

All that is shown of a run is read from its record: lists, reports, messages, metrics of Kubeflow.
"""

import contextlib
import datetime
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from common.files import is_locked, read_regular
from common.mirror import uri_of
from common.storage import Folder, fetch, storage_of
from components.evaluation.gate.decision import GateDecision
from components.evaluation.results import Estimate
from components.pusher.serving_folder import About, Moment

RUNS, LAST_TICK = 'runs', 'last_tick.json'  # in the home of the recipe: a folder and a file
RECIPE_LOCK = '.lock'  # in the home of the recipe; a local run holds it, and writes its id
_LOST = datetime.timedelta(hours=24)  # a Kubeflow run that starts no node for so long has ended

Result = Literal[
    'blessed', 'not blessed', 'nothing new', 'skipped', 'failed', 'interrupted', 'running'
]

_log = logging.getLogger(__name__)


class Run(BaseModel):
    """A run, a tick of a schedule, or a manual override; unknown keys are ignored."""

    model_config = ConfigDict(frozen=True)

    id: str  # of the pipeline run in ML Metadata, if there is one
    recipe: str
    kind: Literal['run', 'tick', 'bless', 'unbless', 'rollback'] = 'run'
    engine: Literal['local', 'kubeflow'] = 'local'
    started: Moment
    seen: Moment | None = None  # on Kubeflow: start of the last node
    task: str | None = None  # on Kubeflow: the last node
    ended: Moment | None = None
    seconds: float | None = None  # with imports; on Kubeflow, the sum over the tasks
    config: dict[str, Any] = Field(default_factory=dict)  # all keys of the recipe
    commit: str | None = None  # of this project, if it runs from a checkout
    decision: str = ''  # why a tick trains, or does not
    spans: tuple[int, ...] = ()  # numbers of the spans in the window of a tick
    new: tuple[int, ...] = ()  # those that no run had used
    attempt: int = 1  # of a tick, which repeats a failed run
    # None, in the file, until the run has ended
    result: Result | None = None
    # Why it is not blessed, the error, or why a user overrode it. On Kubeflow, until the run ends,
    # the error of the task that failed, after its name.
    reasons: tuple[str, ...] = ()
    person: str | None = None  # who overrode the gate
    manual_override: str | None = None  # of the model at the end of the run, a clause
    gate: GateDecision | None = None
    accuracy: float | None = None  # on the test split, 0 to 1; None if the predictions are NaN
    metrics: dict[str, Estimate] = Field(default_factory=dict)  # on the test split
    images: int | None = None  # that were used
    left_out: dict[str, int] = Field(default_factory=dict)  # images by reason
    lists: tuple[str, ...] = ()  # files that list the quarantined images
    predictions: str | None = None  # file of the predictions for unlabelled images
    warnings: tuple[str, ...] = ()  # a clause each
    fine_tuning: str | None = None  # what the Trainer chose for `auto`, and why
    model: str | None = None  # URI of the Trainer's model
    folder: str | None = None  # of the version that the model was pushed as
    version: str | None = None  # its number
    unchanged: bool = False  # whether an earlier run had pushed the model
    live_version: str | None = None  # the highest version at the end of the run
    nodes: dict[str, float] = Field(default_factory=dict)  # seconds by component, in order
    cached: tuple[str, ...] = ()  # components whose outputs are those of an earlier run
    webhook_error: str | None = None
    exit_code: int | None = None

    @property
    def blessed(self) -> bool:
        """Whether the gate, or a manual override of it, blesses the model."""
        return self.result == 'blessed'

    @property
    def live(self) -> bool:
        """Whether model servers loaded the model at the end of the run."""
        return self.version is not None and self.version == self.live_version

    def with_values(self, **values: Any) -> 'Run':
        """A copy with other values, which are validated."""
        return Run.model_validate({**dict(self), **values})

    def as_json(self) -> str:
        """JSON in ASCII: paths may be undecodable."""
        return json.dumps(self.model_dump(mode='json'), indent=1)


def utc_now() -> datetime.datetime:
    """The current time, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def record_file(run: str) -> str:
    """The name of the file of a record in the home folder of the recipe."""
    return f'{RUNS}/{run}.json'


def write_run(home: Path, run: Run, file: str | None = None) -> None:
    """Writes or replaces a record. Raises OSError if that is not possible."""
    storage_of(home).write(file or record_file(run.id), run.as_json().encode())


def update_run(home: Path, run: str, change: Callable[[Run], Mapping[str, Any]]) -> Run:
    """Changes values of a record, as the tasks of a run on Kubeflow do one after the other.

    Raises:
        OSError: there is no such record, or it cannot be written.
        ValueError: it is damaged.
    """
    before = _read(home, record_file(run))
    after = before.with_values(**change(before))
    write_run(home, after)
    return after


def read_runs(home: Path) -> list[Run]:
    """Reads the records of a recipe, given by its home folder, oldest first.

    A run without an end is `running` if it holds the lock of the recipe, or started a task on
    Kubeflow in the last 24 hours; else `interrupted`. A damaged record is left out, with a warning.
    """
    runs = []
    names = storage_of(home).names(RUNS)  # first: a later record is not downloaded
    fetch(home / RUNS, replace=True)
    for name in names:
        if Path(name).parent != Path(RUNS) or not name.endswith('.json'):  # such as a copy
            continue
        try:
            runs.append(_with_result(home, _parse(Folder(home).read(name))))
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else 'it is damaged'
            _log.warning('%s is left out: %s', uri_of(home / name), reason)
    return sorted(runs, key=lambda run: run.started)


def find_run(home: Path, run: str) -> Run | None:
    """The record of a run, also of a tick that did not train, as it is stored; None without one."""
    found = _read_or_none(home, record_file(run)) or _read_or_none(home, LAST_TICK)
    return found if found and found.id == run else None


def last_tick(home: Path, runs: Sequence[Run], now: datetime.datetime) -> Run | None:
    """The last tick of a recipe, whether it is one of its `runs` or did not train.

    Ticks after `now`, of a time when the clock was ahead, are ignored.
    """
    found = [*runs, _read_or_none(home, LAST_TICK)]
    ticks = [run for run in found if run and run.kind == 'tick' and run.started <= now]
    return max(ticks, key=lambda tick: (tick.started, tick.attempt), default=None)


def record_override(
    home: Path, kind: Literal['bless', 'unbless', 'rollback'], about: About, version: str
) -> None:
    """Records a manual override of a version, with its recipe, model, person and reason.

    Raises:
        OSError: the file cannot be written.
    """
    now = utc_now()
    run = Run(
        id=now.isoformat(),
        recipe=about.recipe or home.name,
        kind=kind,
        started=now,
        ended=now,
        result='not blessed' if kind == 'unbless' else 'blessed',
        reasons=(about.reason or '',),
        person=about.person,
        model=about.model,
        version=version,
        exit_code=0,
    )
    storage_of(home).write(record_file(run.id), run.as_json().encode(), create=True)


def _read(home: Path, name: str) -> Run:
    return _parse(storage_of(home).read(name))


def _parse(contents: bytes) -> Run:
    return Run.model_validate(json.loads(contents))


def _read_or_none(home: Path, name: str) -> Run | None:
    """A record; None if there is none, or it is damaged: the next one replaces it."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return _read(home, name)
    return None


def _with_result(home: Path, run: Run) -> Run:
    if run.result:
        return run
    if run.engine == 'kubeflow':
        running = utc_now() - (run.seen or run.started) < _LOST
    else:
        lock = home / RECIPE_LOCK
        running = is_locked(lock) and read_regular(lock) == run.id.encode()
    return run.with_values(result='running' if running else 'interrupted')
