"""Versions in the serving directory, the metadata stored with them, and their retention."""

import datetime
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import ModelError
from common.strict_model import StrictModel

NOTE_FILE = 'assets.extra/push.json'  # in the folder of a version


class PushConfig(StrictModel):
    """`push:` of a recipe: retention of versions in the serving directory."""

    keep: int = Field(5, ge=1, description='versions to keep; a push removes older ones')


class About(BaseModel):
    """Provenance of a pushed model; unknown keys (of other releases) are ignored."""

    model_config = ConfigDict(frozen=True)

    recipe: str | None = None
    model: str | None = None  # URI of the Model artifact
    accuracy: float | None = None  # on the test split, 0 to 1
    spans: tuple[int, ...] = ()
    # Manual action that pushed the model, with its user and reason
    manual_override: Literal['rollback', 'bless'] | None = None
    person: str | None = None
    reason: str | None = None
    version: int | None = None  # version that a rollback restored
    # URI of the previously live Model artifact, if its blessing was withdrawn
    withdrawn: str | None = None


class Note(BaseModel):
    """Metadata that `push` writes into a version."""

    model_config = ConfigDict(frozen=True)

    version: int  # version number, the name of the folder
    pushed: datetime.datetime  # time of the push, with a time zone
    about: About = About()


def read_note(version: Path) -> Note | None:
    """Metadata of a version; None if it is missing, invalid, or of another version (a copy)."""
    try:
        note = Note.model_validate_json((version / NOTE_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return note if version.name == str(note.version) else None


def versions_in(serving: Path) -> list[Path]:
    """Version folders, sorted by number; the last one is live."""
    numbered = [path for path in serving.glob('*') if re.fullmatch('[0-9]{1,18}', path.name)]
    return sorted((path for path in numbered if path.is_dir()), key=lambda path: int(path.name))


def find_model(serving: Path, wanted: str | None) -> Path:
    """Finds a model, given as a version or as the folder of a SavedModel; None: the live version.

    Raises ModelError if there is no such version or folder.
    """
    versions = {path.name: path for path in versions_in(serving)}
    if wanted is None and not versions:
        raise ModelError(
            f'no model is live in {serving}; run the recipe until one is pushed, or give one with '
            '--model'
        )
    wanted = wanted or [*versions][-1]
    folder = versions.get(wanted, Path(wanted))
    if not folder.is_dir():
        available = ', '.join(versions) or 'none'
        raise ModelError(f'{wanted} is neither a folder nor a version in {serving}: {available}')
    return folder
