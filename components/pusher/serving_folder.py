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
    """Provenance of a pushed model; unknown keys (of other releases) are ignored.

    Attributes:
        model: URI of the Model artifact.
        accuracy: on the test split, 0 to 1.
        manual_override: manual action that pushed the model, with its user and reason.
        version: version that a rollback restored.
        withdrawn: URI of the previously live Model artifact, if its blessing was withdrawn.
    """

    model_config = ConfigDict(frozen=True)

    recipe: str | None = None
    model: str | None = None
    accuracy: float | None = None
    spans: tuple[int, ...] = ()
    manual_override: Literal['rollback', 'bless'] | None = None
    person: str | None = None
    reason: str | None = None
    version: int | None = None
    withdrawn: str | None = None


class Note(BaseModel):
    """Metadata that `push` writes into a version.

    Attributes:
        version: version number, the name of the folder.
        pushed: time of the push, with a time zone.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    pushed: datetime.datetime
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
    """Finds the folder of a model.

    Args:
        serving: serving directory.
        wanted: version number, or folder of a SavedModel; None: the live version.

    Raises:
        ModelError: there is no such version or folder.
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
