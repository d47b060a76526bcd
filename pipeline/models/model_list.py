"""Lists the versions in the serving folder, and what is recorded of them. Imports no TFX."""

import dataclasses

from rich.console import Group, RenderableType

from common.errors import StorageError
from common.manual_override import ManualOverride
from common.mirror import uri_of
from components.pusher.bucket import served_version
from components.pusher.serving_folder import About, Note, override_of, read_note, versions_in
from components.serving_check.measurements import size_of
from pipeline.config.recipe import Recipe
from pipeline.formatting import named, table, time_of, unwrapped
from pipeline.run.record import read_runs

_COLUMNS = ('version', '', 'accuracy', 'pushed', 'spans', 'MB', 'run')


@dataclasses.dataclass(frozen=True)
class Version:
    """A version in the serving folder."""

    version: int
    folder: str  # in object storage its URI
    live: bool
    run: str | None  # the pipeline run that trained its model
    megabytes: float  # size of all its files, 10^6 bytes
    note: Note | None  # of its push; None if a user copied it there
    override: ManualOverride | None  # the last one of its model


def list_models(recipe: Recipe) -> tuple[Version, ...]:
    """All versions, the live one first; raises ModelError if a note or an override is damaged."""
    runs = read_runs(recipe.home)[::-1]
    trained_by = {run.model: run.id for run in runs if run.model and run.nodes}
    folders = versions_in(recipe.serving_directory)
    found = []
    for folder in reversed(folders):
        note = read_note(folder)
        run = trained_by.get(note.about.model or '') if note else None
        live, override = folder == folders[-1], override_of(folder)
        place, size = uri_of(folder), size_of(folder)
        found.append(Version(int(folder.name), place, live, run, size, note, override))
    return tuple(found)


def as_table(versions: tuple[Version, ...]) -> RenderableType:
    """The versions, formatted for the console, with their overrides below the table."""
    rows, overrides = [], []
    for each in versions:
        about = each.note.about if each.note else About()
        rows.append(
            [
                str(each.version),
                'live' if each.live else '',
                '' if about.accuracy is None else f'{about.accuracy:.4f}',
                time_of(each.note.pushed) if each.note else 'not pushed from here',
                named(about.spans).partition(' ')[2] if about.spans else '',
                f'{each.megabytes:.1f}',
                each.run or '',
            ]
        )
        if about.manual_override:
            action = f'rolled back to {about.version}' if about.version else 'blessed'
            overrides.append(f'{each.version}: {action} by {about.person}: {about.reason}')
        if each.override and not each.override.blessed:
            overrides.append(f'{each.version}: {each.override.describe()}')
    return Group(table(_COLUMNS, rows, right=()), *map(unwrapped, overrides))


def describe_bucket(recipe: Recipe, live: int | None) -> str | None:
    """Whether the bucket serves the live version, as a clause; None without a bucket."""
    bucket = recipe.serving_bucket
    if bucket is None:
        return None
    try:
        served = served_version(bucket)
    except StorageError as error:
        return str(error)
    if served is None:
        return f'{uri_of(bucket)} has no version yet'
    note = '' if served == live else ', which is not the live version'
    return f'{uri_of(bucket)} serves {served}{note}'
