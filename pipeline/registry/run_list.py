"""Lists the runs of recipes from their logs, without ML Metadata. Imports no TFX."""

import dataclasses
import datetime
import reprlib
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from common.artifacts import folder_of
from common.blessing import read_override
from common.errors import ModelError
from components.pusher.serving_folder import read_note, versions_in
from pipeline.formatting import dotted, time_of
from pipeline.registry.run_log import LOG_FILE, LoggedRun, read_runs

_MOST_CHANGES = 3  # in the table
_LONGEST = 100  # characters of a decision in the table
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 24
_NO_VALUE = object()


@dataclasses.dataclass(frozen=True)
class ListedRun:
    """A run, with the present state of its model."""

    run: str
    recipe: str
    started: datetime.datetime
    seconds: float | None  # None if it was killed or still runs
    result: str  # blessed, not blessed, failed, interrupted, running
    reason: str  # why it is not blessed, or the error
    manual_override: str | None  # of its model, a clause
    accuracy: float | None
    version: str | None  # that the model was pushed as by this run or before
    unchanged: bool  # whether an earlier run had pushed the model
    live: bool  # whether model servers load its model; of several runs with it, the last one
    # Keys with another value than in the previous run of the recipe, None for a removed key;
    # None for the first run
    changed: dict[str, Any] | None


def list_runs(homes: Iterable[Path]) -> tuple[list[ListedRun], list[str]]:
    """The runs of recipes, given by their home folders, newest first; and warnings, a line each."""
    runs: list[ListedRun] = []
    warnings: list[str] = []
    for home in homes:
        try:
            logged, damaged = read_runs(home)
        except OSError as error:
            warnings.append(f'{home / LOG_FILE} cannot be read: {error.strerror}')
            continue
        if damaged:
            lines = f'{damaged} line{"s" * (damaged > 1)}'
            warnings.append(f'{home / LOG_FILE}: {lines} damaged; their runs are left out')
        runs += _describe(home, logged, warnings)
    return sorted(runs, key=lambda each: each.started, reverse=True), warnings


def homes_in(workdir: Path) -> list[Path]:
    """The homes of all recipes with runs in a working directory, by name."""
    return sorted(file.parent for file in workdir.glob(f'*/{LOG_FILE}'))


def as_table(runs: Iterable[ListedRun]) -> Table:
    """The runs, formatted for the console."""
    table = Table(box=None, pad_edge=False)
    for column in ('started', 'recipe', '', 'decision', 'accuracy', 's', 'changed', 'run'):
        right = column in ('accuracy', 's')
        table.add_column(column, overflow='fold', justify='right' if right else 'left')
    for each in runs:
        table.add_row(
            time_of(each.started),
            each.recipe,
            'live' if each.live else '',
            escape(textwrap.shorten(_decision(each), _LONGEST, placeholder=' ...')),
            '' if each.accuracy is None else f'{each.accuracy:.4f}',
            '' if each.seconds is None else f'{each.seconds:,.0f}',
            escape(_changes(each.changed)),
            escape(each.run),
        )
    return table


def _describe(home: Path, runs: list[LoggedRun], warnings: list[str]) -> Iterable[ListedRun]:
    last_of_model = {run.model: run.run for run in runs if run.model}
    live = _live_model(home, runs, warnings)
    before: dict[str, Any] | None = None
    for run in runs:
        keys = dotted(run.config)
        yield ListedRun(
            run=run.run,
            recipe=home.name,
            started=run.started,
            seconds=run.seconds,
            result=str(run.result),
            reason=run.reason,
            manual_override=_override(run, warnings),
            accuracy=run.accuracy,
            version=run.version,
            unchanged=run.unchanged,
            live=run.model is not None and run.model == live and last_of_model[live] == run.run,
            changed=None if before is None else _difference(before, keys),
        )
        before = keys


def _difference(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    names = {**before, **now}
    changed = [n for n in names if before.get(n, _NO_VALUE) != now.get(n, _NO_VALUE)]
    return {name: now.get(name) for name in changed}


def _live_model(home: Path, runs: list[LoggedRun], warnings: list[str]) -> str | None:
    """URI of the model that model servers load; None if it is not known."""
    directory = runs[-1].config.get('push_directory') if runs else None
    versions = versions_in(Path(directory or home / 'serving'))
    try:
        note = read_note(versions[-1]) if versions else None
    except (ModelError, OSError) as error:
        warnings.append(str(error))
        return None
    return note.about.model if note else None


def _override(run: LoggedRun, warnings: list[str]) -> str | None:
    try:
        override = read_override(folder_of(run.model)) if run.model else None
    except ModelError as error:
        if str(error) not in warnings:
            warnings.append(str(error))
        return None
    return override.describe() if override else None


def _decision(run: ListedRun) -> str:
    """`blessed and pushed`, `not blessed: REASON`, `failed: REASON`; an override has precedence."""
    if run.manual_override:
        return run.manual_override
    if run.result == 'blessed':
        if run.unchanged:
            return 'blessed, unchanged'
        return 'blessed and pushed' if run.version else 'blessed'
    return f'{run.result}: {run.reason}' if run.reason else run.result


def _changes(changed: dict[str, Any] | None) -> str:
    """`trainer.seed=7, data.path='b', 2 more`."""
    if changed is None:
        return 'first run'
    texts = [f'{key}={_SHORT.repr(value)}' for key, value in changed.items()]
    more = len(texts) - _MOST_CHANGES
    return ', '.join([*texts[:_MOST_CHANGES], *([f'{more} more'] if more > 0 else [])])
