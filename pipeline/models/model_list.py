"""Lists the versions in the serving folder, and what is recorded of them. Imports no TFX."""

import dataclasses
import datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from common.errors import StorageError
from components.pusher.serving_folder import About, override_of, read_note, versions_in
from components.serving_check.measurements import size_of
from pipeline.config.recipe import Recipe
from pipeline.formatting import named, time_of, unwrapped
from pipeline.run.record import read_runs


@dataclasses.dataclass(frozen=True)
class Version:
    """A version in the serving folder. It has no note if a user copied it there."""

    version: int
    folder: Path
    live: bool
    accuracy: float | None  # on the test split at the time of the push, 0 to 1
    pushed: datetime.datetime | None
    run: str | None  # the pipeline run that trained its model
    spans: tuple[int, ...]
    manual_override: str | None  # the rollback or blessing that pushed it, with user and reason
    withdrawn: str | None  # the override that withdrew its blessing, as a clause
    megabytes: float  # size of all its files, 10^6 bytes


def list_models(recipe: Recipe) -> tuple[Version, ...]:
    """All versions, the live one first; raises ModelError if a note or an override is damaged."""
    runs = {run.model: run.id for run in reversed(read_runs(recipe.home)) if run.nodes}
    folders = versions_in(recipe.serving_directory)
    return tuple(_describe(folder, runs, live=folder == folders[-1]) for folder in folders[::-1])


def as_table(versions: tuple[Version, ...]) -> RenderableType:
    """The versions, formatted for the console, with their overrides below the table."""
    table = Table(box=None, pad_edge=False)
    for column in ('version', '', 'accuracy', 'pushed', 'spans', 'MB', 'run'):
        table.add_column(column, overflow='fold')
    overrides = []
    for each in versions:
        table.add_row(
            str(each.version),
            'live' if each.live else '',
            '' if each.accuracy is None else f'{each.accuracy:.4f}',
            time_of(each.pushed) if each.pushed else 'not pushed from here',
            named(each.spans).partition(' ')[2] if each.spans else '',
            f'{each.megabytes:.1f}',
            escape(each.run or ''),
        )
        clauses = filter(None, (each.manual_override, each.withdrawn))
        overrides += [f'{each.version}: {clause}' for clause in clauses]
    return Group(table, *map(unwrapped, overrides))


def describe_bucket(recipe: Recipe, live: int | None) -> str | None:
    """Whether the bucket serves the live version, as a clause; None without a bucket."""
    bucket = recipe.serving_bucket
    if bucket is None:
        return None
    try:
        served = bucket.served_version()
    except StorageError as error:
        return str(error)
    if served is None:
        return f'{bucket.url} has no version yet'
    note = '' if served == live else ', which is not the live version: the next push corrects it'
    return f'{bucket.url} serves {served}{note}'


def _describe(folder: Path, runs: dict[str | None, str], live: bool) -> Version:
    note, override = read_note(folder), override_of(folder)
    about = note.about if note else About()
    return Version(
        version=int(folder.name),
        folder=folder,
        live=live,
        accuracy=about.accuracy,
        pushed=note.pushed if note else None,
        run=runs.get(about.model) if about.model else None,
        spans=about.spans,
        manual_override=_describe_override(about),
        withdrawn=override.describe() if override and not override.blessed else None,
        megabytes=size_of(folder),
    )


def _describe_override(about: About) -> str | None:
    if about.manual_override is None:
        return None
    action = f'rolled back to {about.version}' if about.version else 'blessed'
    return f'{action} by {about.person}: {about.reason}'
