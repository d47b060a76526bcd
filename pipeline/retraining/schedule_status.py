"""What ticks did, what is live, and when the next tick comes."""

import dataclasses
import datetime
import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from common.errors import ConfigError
from components.pusher.serving_folder import versions_in
from pipeline.config.recipe import Recipe
from pipeline.formatting import named, time_of, to_json
from pipeline.metadata_store import check_file, existing_store
from pipeline.retraining.cron import parse_schedule
from pipeline.retraining.journal import Journal, Tick
from pipeline.retraining.scheduler import LOCK, SCHEDULE
from pipeline.retraining.tick import JOURNAL, TICK_LOCK
from pipeline.retraining.used_spans import PushedModel, read_history

_KILLED = 'killed: it began, and noted no end'
_UNSURE = 'it noted no end; whether it goes on is not to be seen, as its lock cannot be read'


@dataclasses.dataclass(frozen=True)
class Served:
    """The newest version in the serving directory, which a model server loads.

    Attributes:
        folder: the version.
        push: what ML Metadata knows of it; None if somebody else put it there.
    """

    folder: Path
    push: PushedModel | None


@dataclasses.dataclass(frozen=True)
class ScheduleState:
    """A schedule that was started for a recipe.

    Attributes:
        words: when it fires.
        alive: whether its process is there; None if this user cannot tell.
        next: when it fires next; None if it is not alive.
        pid: its process.
    """

    words: str
    alive: bool | None
    next: datetime.datetime | None
    pid: int


@dataclasses.dataclass(frozen=True)
class Status:
    """All that `status` shows."""

    recipe: str
    ticks: tuple[Tick, ...]
    live: Served | None
    schedule: ScheduleState | None


def read_status(recipe: Recipe, now: datetime.datetime, last: int = 10) -> Status:
    """Looks, and changes nothing.

    Args:
        recipe: whose.
        now: with a time zone.
        last: how many ticks.

    Raises:
        MetadataError: the metadata cannot be reached.
        OSError: the folder of the runs cannot be read.
    """
    check_file(recipe.metadata, recipe.home)
    ticks = Journal(recipe.home / JOURNAL).ticks()
    going_on = is_locked(recipe.home / TICK_LOCK)
    # One that is skipped begins later, and holds no lock.
    newest = next((tick for tick in reversed(ticks) if tick.verdict != 'skipped'), None)
    shown = [
        _without_end(tick, going_on if tick is newest else False) if tick.open else tick
        for tick in ticks[-last:]
    ]
    return Status(recipe.name, tuple(shown), _served(recipe), _schedule(recipe.home, now))


def is_locked(path: Path) -> bool | None:
    """Whether a process holds a lock; it ends with its process, so a file alone says nothing.

    Asks with a shared lock of a file that is only read, which another user may do as well.

    Returns:
        None if the file cannot be opened, or its file system does not say.
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
        os.close(descriptor)  # which gives the lock back
    return False


def as_table(status: Status) -> RenderableType:
    """The same for a person."""
    table = Table(box=None, pad_edge=False)
    for column in ('tick', 'spans', 'new', 'verdict', 'accuracy', 'live before', 'reason'):
        table.add_column(column, overflow='fold')
    for tick in status.ticks:
        table.add_row(
            time_of(tick.started),
            _numbers(tick.spans),
            _numbers(tick.new),
            tick.verdict or _open(tick),
            _accuracy(tick.accuracy),
            _accuracy(tick.previous_accuracy),
            escape(_why(tick)),
        )
    parts: list[RenderableType] = [table] if status.ticks else [Text('no ticks yet')]
    return Group(*parts, Text(''), Text(describe_live(status)), Text(describe_schedule(status)))


def as_json(status: Status) -> str:
    """The same for programs."""
    return to_json(status)


def describe_live(status: Status) -> str:
    """Which version a model server loads, since when, and where it comes from."""
    if status.live is None:
        return 'live: nothing was pushed yet'
    push = status.live.push
    if push is None:
        return f'live: {status.live.folder}, which no run of {status.recipe} has pushed'
    spans = f', trained on {named(list(push.spans))}' if push.spans else ''
    by = f'run {push.run_id}' if push.run_id else 'hand'
    return f'live: {push.version} since {time_of(push.since)}, by {by}{spans}'


def describe_schedule(status: Status) -> str:
    """When the next tick comes, if a schedule is alive here."""
    schedule = status.schedule
    if schedule is None:
        return 'next: no schedule was started here'
    if schedule.alive is None:
        return (
            f'next: cannot tell whether the schedule ({schedule.words}) is running; '
            'its lock cannot be read'
        )
    if not schedule.alive or schedule.next is None:
        return f'next: none; the schedule ({schedule.words}) is not running'
    return f'next: {schedule.next:%Y-%m-%d %H:%M %Z}; {schedule.words}; process {schedule.pid}'


def _served(recipe: Recipe) -> Served | None:
    newest = next(reversed(versions_in(recipe.serving_directory)), None)
    if newest is None:
        return None
    history = read_history(existing_store(recipe.metadata, recipe.home), recipe.name)
    pushes = {each.destination: each for each in history.pushes}
    return Served(newest, pushes.get(str(newest)))


def _schedule(home: Path, now: datetime.datetime) -> ScheduleState | None:
    try:
        values: Mapping[str, Any] = json.loads((home / SCHEDULE).read_text())
        schedule = parse_schedule(values['cron'], values['timezone'])
    except (OSError, ValueError, KeyError, TypeError, ConfigError):
        return None
    alive = is_locked(home / LOCK)
    following = schedule.after(now) if alive else None
    return ScheduleState(schedule.in_words(), alive, following, values.get('pid', 0))


def _without_end(tick: Tick, going_on: bool | None) -> Tick:
    if going_on is None:
        return tick.model_copy(update={'reason': _UNSURE})
    return tick if going_on else tick.model_copy(update={'verdict': 'killed', 'reason': _KILLED})


def _open(tick: Tick) -> str:
    return 'cannot tell' if tick.reason == _UNSURE else 'going on'


def _why(tick: Tick) -> str:
    """The decision, and what came of it."""
    if tick.reason == tick.decision:
        return tick.reason
    return '; '.join(filter(None, [tick.decision, tick.reason, tick.webhook]))


def _numbers(numbers: tuple[int, ...]) -> str:
    return named(numbers).partition(' ')[2] if numbers else ''


def _accuracy(value: float | None) -> str:
    return '' if value is None else f'{value:.4f}'
