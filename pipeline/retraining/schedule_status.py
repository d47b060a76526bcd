"""Status of a recipe: its last ticks, the live model, and the next tick."""

import datetime
import fcntl
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from common.errors import ConfigError
from components.pusher.serving_folder import versions_in
from pipeline.config.recipe import Recipe
from pipeline.formatting import named, time_of
from pipeline.metadata_store import check_file, existing_store
from pipeline.retraining.cron import parse_schedule
from pipeline.retraining.journal import Journal, Tick
from pipeline.retraining.scheduler import LOCK, SCHEDULE, ScheduleFile
from pipeline.retraining.tick import JOURNAL, TICK_LOCK
from pipeline.retraining.used_spans import PushedModel, read_history

_KILLED = 'killed: it recorded no result'
_UNKNOWN = 'it recorded no result, and its lock cannot be read to see whether it is running'


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Served(_Frozen):
    """The newest version in the serving directory, which a model server loads.

    Attributes:
        folder: of the version.
        push: its record in ML Metadata; None if the pipeline did not push it.
    """

    folder: Path
    push: PushedModel | None


class ScheduleState(_Frozen):
    """The last schedule that was started for a recipe on this machine.

    Attributes:
        words: description of its times.
        alive: whether its process is running; None if its lock cannot be read.
        next: time of the next tick; None if the schedule is not known to be running.
        pid: process id.
    """

    words: str
    alive: bool | None
    next: datetime.datetime | None
    pid: int


class Status(_Frozen):
    """Content of the `status` command."""

    recipe: str
    ticks: tuple[Tick, ...]
    live: Served | None
    schedule: ScheduleState | None


def read_status(recipe: Recipe, now: datetime.datetime, last: int = 10) -> Status:
    """Reads the status; writes nothing.

    Args:
        recipe: of the ticks.
        now: current time with a time zone.
        last: number of ticks.

    Raises:
        MetadataError: ML Metadata is unreachable.
        OSError: the folder of the runs cannot be read.
    """
    check_file(recipe.metadata, recipe.home)
    ticks = Journal(recipe.home / JOURNAL).ticks()
    running = is_locked(recipe.home / TICK_LOCK)
    # A skipped tick does not hold the lock.
    newest = next((tick for tick in reversed(ticks) if tick.verdict != 'skipped'), None)
    shown = [_checked(tick, running if tick is newest else False) for tick in ticks[-last:]]
    return Status(
        recipe=recipe.name,
        ticks=tuple(shown),
        live=_served(recipe),
        schedule=_schedule(recipe.home, now),
    )


def is_locked(path: Path) -> bool | None:
    """Whether a process holds a lock; needs only the right to read the file.

    Returns:
        None if the file cannot be opened or its file system does not support locks.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)  # also releases the lock
    return False


def as_table(status: Status) -> RenderableType:
    """The status formatted for the console."""
    table = Table(box=None, pad_edge=False)
    for column in ('tick', 'spans', 'new', 'verdict', 'accuracy', 'live before', 'reason'):
        table.add_column(column, overflow='fold')
    for tick in status.ticks:
        table.add_row(
            time_of(tick.started),
            _numbers(tick.spans),
            _numbers(tick.new),
            tick.verdict or ('unknown' if tick.reason == _UNKNOWN else 'running'),
            _accuracy(tick.accuracy),
            _accuracy(tick.previous_accuracy),
            escape(_reasons(tick)),
        )
    first: RenderableType = table if status.ticks else Text('no ticks yet')
    return Group(first, Text(''), Text(describe_live(status)), Text(describe_schedule(status)))


def describe_live(status: Status) -> str:
    """The live version, its push and its spans."""
    if status.live is None:
        return 'live: no model was pushed yet'
    push = status.live.push
    if push is None:
        return f'live: {status.live.folder}, which no run of {status.recipe} pushed'
    spans = f', trained on {named(list(push.spans))}' if push.spans else ''
    pushed = f'by run {push.run_id}' if push.run_id else 'manually'
    return f'live: {push.version} since {time_of(push.since)}, pushed {pushed}{spans}'


def describe_schedule(status: Status) -> str:
    """The time of the next tick of the local schedule."""
    schedule = status.schedule
    if schedule is None:
        return 'next: no schedule was started on this machine'
    if schedule.alive is None:
        return (
            f'next: unknown; the lock of the schedule ({schedule.words}) cannot be read to see '
            'whether it is running'
        )
    if schedule.next is None:
        return f'next: none; the schedule ({schedule.words}) is not running'
    return f'next: {schedule.next:%Y-%m-%d %H:%M %Z}; {schedule.words}; process {schedule.pid}'


def _served(recipe: Recipe) -> Served | None:
    newest = next(reversed(versions_in(recipe.serving_directory)), None)
    if newest is None:
        return None
    history = read_history(existing_store(recipe.metadata, recipe.home), recipe.name)
    pushes = {push.destination: push for push in history.pushes}
    return Served(folder=newest, push=pushes.get(str(newest)))


def _schedule(home: Path, now: datetime.datetime) -> ScheduleState | None:
    try:
        file = ScheduleFile.model_validate_json((home / SCHEDULE).read_bytes())
        schedule = parse_schedule(file.cron, file.timezone)
    except (OSError, ValidationError, ConfigError):
        return None
    alive = is_locked(home / LOCK)
    return ScheduleState(
        words=schedule.in_words(),
        alive=alive,
        next=schedule.after(now) if alive else None,
        pid=file.pid,
    )


def _checked(tick: Tick, running: bool | None) -> Tick:
    """A tick without a verdict was killed if it is not running."""
    if not tick.open or running:
        return tick
    if running is None:
        return tick.model_copy(update={'reason': _UNKNOWN})
    return tick.model_copy(update={'verdict': 'killed', 'reason': _KILLED})


def _reasons(tick: Tick) -> str:
    """The reasons for the decision and the verdict, and the error of the webhook."""
    if tick.reason == tick.decision:
        return tick.reason
    return '; '.join(filter(None, [tick.decision, tick.reason, tick.webhook]))


def _numbers(numbers: tuple[int, ...]) -> str:
    return named(numbers).partition(' ')[2] if numbers else ''


def _accuracy(value: float | None) -> str:
    return '' if value is None else f'{value:.4f}'
