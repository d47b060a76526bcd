"""Versions in the serving directory, which say what is live, and the metadata stored with them.

The version with the highest number is live, because model servers load it. Its model is the one
whose files it holds, also after the folder was moved, copied or restored.
"""

import contextlib
import datetime
import filecmp
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from common import object_storage
from common.artifacts import SERVED, KnownUri, content_of
from common.errors import ModelError, PushError
from common.features import PUSH_NOTE
from common.manual_override import OVERRIDE_FILE, ManualOverride, read_override
from common.mirror import is_remote, uri_of
from common.redaction import redacted
from common.storage import Folder, Storage, fetch, storage_of
from common.strict_model import StrictModel
from components.inference.model_folder import read_classes

GRAPH = 'saved_model.pb'  # present in every SavedModel
ADOPTED = 'Adopted'  # component of models that were in the serving folder only
VERSION = re.compile('[0-9]{1,18}')  # name of the folder of a version
EXTRA = 'assets.extra'  # folder of extra files in a SavedModel
NOTE_FILE = PUSH_NOTE
UNFINISHED = '.coming-'  # start of the name of a version that is being written
_FIRST, _LAST = (
    datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc) for year in (1970, 3000)
)
Moment = Annotated[AwareDatetime, Field(ge=_FIRST, lt=_LAST)]  # which every time zone has


class PushConfig(StrictModel):
    """`push:` of a recipe: retention of versions, and a copy of them in object storage."""

    keep: int = Field(5, ge=1, description='versions to keep; a push removes older ones')
    url: str | None = Field(
        None,
        description='s3://BUCKET/PREFIX or gs://BUCKET/PREFIX: each push also uploads the version '
        'there, before it is live; of one recipe only',
    )

    @field_validator('url')
    @classmethod
    def _is_in_bucket(cls, url: str | None) -> str | None:
        if url is not None and not object_storage.URL.fullmatch(url):
            raise ValueError('must be s3://BUCKET/PREFIX or gs://BUCKET/PREFIX')
        return url and url.rstrip('/')


class About(BaseModel):
    """Provenance of a pushed model; unknown keys (of other releases) are ignored."""

    model_config = ConfigDict(frozen=True)

    recipe: str | None = None
    model: KnownUri | None = None  # of the Model artifact
    accuracy: float | None = None  # on the test split, 0 to 1
    spans: tuple[int, ...] = ()
    reference: int | None = None  # version that candidates are compared with; None: this one
    # Manual action that pushed the model, with its user and reason
    manual_override: Literal['rollback', 'bless'] | None = None
    person: str | None = None
    reason: str | None = None
    version: int | None = None  # version that a rollback restored


class Note(BaseModel):
    """Metadata that `push` writes into a version."""

    model_config = ConfigDict(frozen=True)

    version: int  # version number, the name of the folder
    pushed: Moment  # time of the push, with a time zone
    about: About = About()


def read_note(version: Path) -> Note | None:
    """Metadata of a version; None if it is missing, or of another version (a copy).

    Raises:
        ModelError: the file is damaged.
    """
    note = _stored_note(version)
    return note if note and version.name == str(note.version) else None


def _stored_note(version: Path) -> Note | None:
    try:
        return Note.model_validate_json(storage_of(version).read(NOTE_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = '.'.join(map(str, first['loc'])) or 'its JSON'
        raise ModelError(
            f'{uri_of(version / NOTE_FILE)} is damaged ({where}: {first["msg"]}); restore it, or '
            'remove it: then the version counts as copied there manually'
        ) from error


def pushed_at(version: Path) -> datetime.datetime:
    """The time of the push in UTC; for a version that a user copied, the time of the copy.

    In object storage, where a copy has no time on this machine, the time in its note.
    """
    note = _stored_note(version) if is_remote(version) else read_note(version)
    if note:
        return note.pushed
    return datetime.datetime.fromtimestamp(version.stat().st_mtime, datetime.timezone.utc)


def versions_in(serving: Path) -> list[Path]:
    """Version folders, sorted by number; the last one is live.

    In object storage those with a note, which need not be on this machine.
    """
    if is_remote(serving):
        names = storage_of(serving).names()
        found = {name.removesuffix(f'/{NOTE_FILE}') for name in names if name.endswith(NOTE_FILE)}
        return [serving / name for name in sorted(filter(VERSION.fullmatch, found), key=int)]
    numbered = [path for path in serving.glob('*') if VERSION.fullmatch(path.name)]
    return sorted((path for path in numbered if path.is_dir()), key=lambda path: int(path.name))


def files_of(model: Path) -> dict[str, Path]:
    """Files of a model by relative path, without the note and the override of a version."""
    names = Folder(model).names()
    own = (NOTE_FILE, f'{EXTRA}/{OVERRIDE_FILE}')
    return {name: model / name for name in names if name not in own}


def numbers_in(serving: Path) -> list[int]:
    """The numbers of all versions, also of incomplete ones in object storage."""
    if not is_remote(serving):
        return [int(version.name) for version in versions_in(serving)]
    folders = {name.partition('/')[0] for name in storage_of(serving).names()}
    return [int(folder) for folder in folders if VERSION.fullmatch(folder)]


def write_version(storage: Storage, folder: str, files: Mapping[str, Path], note: bytes) -> None:
    """Writes a model, reads it back, and writes the note, the last file.

    The first file is the graph, which has to be new: so the folder belongs to this push.

    Raises:
        FileExistsError: the folder belongs to another push.
        PushError: a file differs.
    """
    storage.write(f'{folder}/{GRAPH}', files[GRAPH].read_bytes(), create=True)
    for name, path in sorted(files.items()):
        contents = path.read_bytes()
        if name != GRAPH:
            storage.write(f'{folder}/{name}', contents)
        if storage.read(f'{folder}/{name}') != contents:
            raise PushError(f'the copy of {name} differs from the model; push again')
    storage.write(f'{folder}/{NOTE_FILE}', note)


def is_complete(version: Path) -> bool:
    """Whether a version has the files that every SavedModel with weights has."""
    fetch(version)
    parts = (GRAPH, 'variables/variables.index', 'variables/variables.data-*')
    return all(any(version.glob(part)) for part in parts)


def override_of(version: Path) -> ManualOverride | None:
    """The manual override of the model of a version; raises ModelError if it is damaged."""
    return read_override(version / EXTRA)


def holds(version: Path, model: Path) -> bool:
    """Whether a version holds a model, given by the folder of its SavedModel."""
    fetch(version)
    fetch(model)
    weights = (path.relative_to(version) for path in version.glob('variables/*'))
    names = [GRAPH, *map(str, weights)]
    _, different, missing = filecmp.cmpfiles(version, model, names, shallow=False)
    return not different and not missing


def reference_of(version: Path) -> Path | None:
    """The other version that the note of a version names as reference; None if there is none."""
    note = read_note(version)
    named = version.with_name(str(note.about.reference)) if note and note.about.reference else None
    return named if named in versions_in(version.parent) else None


def find_model_of(version: Path, uris: Sequence[str]) -> str | None:
    """Finds the URI of the Model artifact whose files a version holds; None if there is none.

    `uris` are oldest first. Looks at the one that the note names first, then at newer ones first.
    """
    note = read_note(version)
    named = note.about.model if note else None
    for uri in (*(uri for uri in uris if uri == named), *reversed(uris)):
        if holds(version, content_of(uri) / SERVED):
            return uri
    return None


def live_classes(serving: Path) -> tuple[str, ...] | None:
    """Class names of the live model in label order; None if there is none.

    Versions without a list of classes, such as an empty folder, are skipped.
    """
    for version in reversed(versions_in(serving)):
        with contextlib.suppress(ModelError):
            fetch(version)
            return read_classes(version)
    return None


def check_owner(serving: Path, recipe: str | None) -> None:
    """Raises ModelError if another recipe pushed to the folder; they would replace each other."""
    note = next(filter(None, map(read_note, reversed(versions_in(serving)))), None)
    owner = note.about.recipe if note else None
    if owner and recipe and owner != recipe:
        raise ModelError(
            f'the models in {uri_of(serving)} are of the recipe {owner}, not of {recipe}; set '
            'another push_directory or push.url'
        )


def find_model(serving: Path, wanted: str | None) -> Path:
    """Finds a model, given as a version or as the folder of a SavedModel; None: the live version.

    Raises ModelError if there is no such version or folder.
    """
    versions = {path.name: path for path in versions_in(serving)}
    if wanted is None and not versions:
        raise ModelError(
            f'no model is live in {uri_of(serving)}; run the recipe until one is pushed'
        )
    wanted = [*versions][-1] if wanted is None else wanted
    folder = versions.get(wanted, Path(wanted))
    if not wanted or not (wanted in versions or folder.is_dir()):
        available = ', '.join(versions) or 'none'
        raise ModelError(
            f'{redacted(wanted)!r} is neither a folder nor a version in {uri_of(serving)}: '
            f'{available}'
        )
    return folder
