"""Lists the versions in the serving folder with their metadata. Imports no TFX."""

import dataclasses
import datetime
from pathlib import Path

from ml_metadata import MetadataStore
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from common.artifacts import folder_of
from common.blessing import withdrawal
from common.files import MEGABYTE
from components.pusher.serving_folder import Note, read_note, versions_in
from pipeline.config.recipe import Recipe
from pipeline.formatting import named, time_of
from pipeline.registry.provenance import Node, Provenance, destination_of


@dataclasses.dataclass(frozen=True)
class Version:
    """A version in the serving folder. Its push record or its metadata may be missing.

    Attributes:
        version: the version number.
        folder: the folder of the version.
        live: whether a model server loads it.
        accuracy: on the test split at the time of the push, 0 to 1.
        pushed: time of the push.
        run: the pipeline run that pushed it, or that pushed its model first.
        spans: numbers of the spans that it was trained on.
        manual_override: the rollback or blessing that pushed it, with user and reason.
        withdrawn: the override that withdrew its blessing, as a clause.
        megabytes: size of all its files, 10^6 bytes; files shared with other versions count too.
    """

    version: int
    folder: Path
    live: bool
    accuracy: float | None
    pushed: datetime.datetime | None
    run: str | None
    spans: tuple[int, ...]
    manual_override: str | None
    withdrawn: str | None
    megabytes: float


def list_models(recipe: Recipe, store: MetadataStore | None) -> tuple[Version, ...]:
    """All versions, the live one first."""
    provenance = Provenance(store, recipe.name)
    pushers = {destination_of(each): each for each in provenance.pushed()}
    folders = versions_in(recipe.serving_directory)
    return tuple(
        _describe(provenance, folder, folder == folders[-1], pushers.get(str(folder)))
        for folder in reversed(folders)
    )


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
    return Group(table, *map(escape, overrides))


def _describe(provenance: Provenance, folder: Path, live: bool, pusher: Node | None) -> Version:
    note = read_note(folder)
    about = note.about if note else None
    model = pusher.input('model') if pusher else None
    uri = model.uri if model else about.model if about else None
    spans = tuple(provenance.training_spans(model)) if model else ()
    return Version(
        version=int(folder.name),
        folder=folder,
        live=live,
        accuracy=about.accuracy if about else None,
        pushed=note.pushed if note else pusher.ended if pusher else None,
        run=(about.run if about else None) or (provenance.run_id(pusher) if pusher else None),
        spans=(about.spans if about else ()) or spans,
        manual_override=_override_of(note),
        withdrawn=withdrawal(folder_of(uri) if uri else None),
        megabytes=sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())
        / MEGABYTE,
    )


def _override_of(note: Note | None) -> str | None:
    about = note.about if note else None
    if about is None or about.manual_override is None:
        return None
    action = f'rolled back to {about.version}' if about.version else 'blessed'
    return f'{action} by {about.person}: {about.reason}'
