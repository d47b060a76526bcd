"""Status of a recipe: its last ticks or runs, the live model, and the next tick."""

import dataclasses
import datetime
from pathlib import Path

from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from common.console import one_line
from common.files import is_locked, read_regular
from pipeline.config.recipe import Recipe
from pipeline.formatting import named, time_of, unwrapped
from pipeline.metadata_store import check_file, existing_store
from pipeline.registry.gate_history import EvaluatedRun, evaluated_runs
from pipeline.registry.lease import lease_holder
from pipeline.registry.model_list import Version, describe_bucket, list_models
from pipeline.registry.mounts import missing_folder
from pipeline.registry.provenance import Provenance
from pipeline.retraining.journal import Journal, Tick
from pipeline.retraining.scheduler import LOCK, SCHEDULE, ScheduleFile
from pipeline.retraining.tick import TICK_LOCK


class ScheduleState(ScheduleFile):
    """The last schedule of a recipe on this machine; `next` is None if it is not running."""

    next: datetime.datetime | None


@dataclasses.dataclass(frozen=True)
class Status:
    """Content of the `status` command."""

    recipe: str
    ticks: tuple[Tick, ...]
    runs: tuple[EvaluatedRun, ...]  # of a schedule, of Kubeflow, or manual
    live: Version | None
    missing: Path | None  # the folder of the runs or versions, if it is not on this machine
    bucket: str | None  # whether the bucket of `push.url` serves the live version, as a clause
    schedule: ScheduleState | None


def read_status(recipe: Recipe, now: datetime.datetime, last: int = 10) -> Status:
    """Reads the status with the last ticks and runs; writes nothing.

    Raises:
        MetadataError: ML Metadata is unreachable.
        OSError: a file in the folder of the runs cannot be read.
    """
    check_file(recipe.metadata, recipe.home)
    ticks = Journal(recipe.home).ticks()
    running = is_locked(recipe.home / TICK_LOCK)
    # A skipped tick does not hold the lock.
    newest = next((tick for tick in reversed(ticks) if tick.verdict != 'skipped'), None)
    store = existing_store(recipe.metadata, recipe.home)
    holder = lease_holder(store, recipe.name) if store else None
    shown = [
        tick
        if tick.verdict or (running and tick is newest) or (holder and tick.run == holder)
        else tick.model_copy(update={'verdict': 'killed', 'reason': 'it recorded no result'})
        for tick in ticks[-last:]
    ]
    provenance = Provenance(store, recipe.name)
    versions = list_models(recipe, provenance)
    live = versions[0] if versions else None
    return Status(
        recipe=recipe.name,
        ticks=tuple(shown),
        runs=evaluated_runs(provenance, last),
        live=live,
        bucket=describe_bucket(recipe, live.version if live else None),
        missing=missing_folder(recipe, provenance),
        schedule=_schedule(recipe.home, now),
    )


def as_table(status: Status) -> RenderableType:
    """The status formatted for the console: the ticks, or the runs if there are no ticks."""
    first: RenderableType = Text('no ticks yet')
    if status.ticks:
        first = _tick_table(status.ticks)
    elif status.runs:
        first = _run_table(status.runs)
    live, following = _describe_live(status.live), _describe_schedule(status.schedule)
    lines = [f'live: {live}', f'next: {following}']
    if status.bucket:
        lines.insert(1, f'bucket: {status.bucket}')
    return Group(first, Text(''), *map(unwrapped, lines))


def _tick_table(ticks: tuple[Tick, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ('tick', 'spans', 'new', 'verdict', 'accuracy', 'live before', 'reason'):
        table.add_column(column, overflow='fold')
    for tick in ticks:
        reasons = dict.fromkeys([tick.decision, tick.reason, tick.webhook])  # without duplicates
        table.add_row(
            time_of(tick.started),
            named(tick.spans).partition(' ')[2],
            named(tick.new).partition(' ')[2],
            tick.verdict or 'running',
            _accuracy(tick.accuracy),
            _accuracy(tick.previous_accuracy),
            escape(one_line('; '.join(filter(None, reasons)))),
        )
    return table


def _run_table(runs: tuple[EvaluatedRun, ...]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ('evaluated', 'spans', 'verdict', 'version', 'run'):
        table.add_column(column, overflow='fold')
    for each in runs:
        table.add_row(
            time_of(each.ended),
            named(each.spans).partition(' ')[2],
            'blessed' if each.blessed else 'not blessed',
            each.version or '',
            escape(each.run),
        )
    return table


def _schedule(home: Path, now: datetime.datetime) -> ScheduleState | None:
    try:
        file = ScheduleFile.model_validate_json(read_regular(home / SCHEDULE))
    except (FileNotFoundError, ValidationError):
        return None
    following = file.schedule.after(now) if is_locked(home / LOCK) else None
    return ScheduleState(**file.model_dump(), next=following)


def _describe_live(live: Version | None) -> str:
    if live is None:
        return 'no model was pushed yet'
    pushed = f'pushed at {time_of(live.pushed)}' if live.pushed else 'not pushed from here'
    spans = f', trained on {named(live.spans)}' if live.spans else ''
    return f'{live.folder}, {pushed}{spans}'


def _describe_schedule(schedule: ScheduleState | None) -> str:
    if schedule is None:
        return 'no schedule was started on this machine'
    words = schedule.schedule.in_words()
    if schedule.next is None:
        return f'none; the schedule ({words}) is not running'
    return f'{schedule.next:%Y-%m-%d %H:%M %Z}; {words}; process {schedule.pid}'


def _accuracy(value: float | None) -> str:
    return '' if value is None else f'{value:.4f}'
