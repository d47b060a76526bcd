"""Versions in the serving directory and the metadata stored with them."""

import datetime
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import ModelError

NOTE_FILE = 'assets.extra/push.json'  # in the folder of a version

PUSHED_BY_ROLLBACK, PUSHED_BY_BLESS = 'rollback', 'bless'  # values of About.manual_override


class About(BaseModel):
    """Provenance of a pushed model; unknown keys (of later releases) are ignored.

    Attributes:
        recipe: name of the recipe and the pipeline.
        run: id of the pipeline run that pushed the model (first, after a manual push).
        model: URI of the Model artifact.
        model_id: id of the Model artifact.
        accuracy: accuracy on the test split, 0 to 1.
        spans: span numbers of the training data.
        manual_override: manual action that pushed the model, if any.
        person: user of the manual action.
        reason: reason of the manual action.
        version: version that a rollback restored.
        withdrawn: URI of the previously live Model artifact, if its blessing was withdrawn.
        withdrawn_id: id of this artifact.
    """

    model_config = ConfigDict(frozen=True)

    recipe: str | None = None
    run: str | None = None
    model: str | None = None
    model_id: int | None = None
    accuracy: float | None = None
    spans: tuple[int, ...] = ()
    manual_override: Literal['rollback', 'bless'] | None = None
    person: str | None = None
    reason: str | None = None
    version: int | None = None
    withdrawn: str | None = None
    withdrawn_id: int | None = None


class Note(BaseModel):
    """Metadata that `push` writes into a version.

    Attributes:
        version: version number, the name of the folder.
        pushed: time of the push, with a time zone.
        digest: digest of all pushed files.
        about: provenance.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    pushed: datetime.datetime
    digest: str
    about: About = About()


def read_note(version: Path) -> Note | None:
    """Metadata of a version, or None.

    Ignores invalid metadata, and metadata of another version in a copied folder.
    """
    try:
        note = Note.model_validate_json((version / NOTE_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return note if version.name.isdigit() and int(version.name) == note.version else None


_LARGEST = 2**63 - 1  # int64 in TensorFlow Serving


def versions_in(serving: Path) -> list[Path]:
    """Version folders, sorted by number; the last one is live."""
    found = [
        path
        for path in serving.glob('*')
        if re.fullmatch('[0-9]{1,19}', path.name) and int(path.name) <= _LARGEST and path.is_dir()
    ]
    return sorted(found, key=lambda path: int(path.name))


def find_model(serving: Path, wanted: str | None) -> Path:
    """Finds the folder of a model.

    Args:
        serving: serving directory.
        wanted: version number, or folder of a SavedModel; None: the live version.

    Raises:
        ModelError: there is no such version or folder.
    """
    versions = {path.name: path for path in versions_in(serving)}
    if wanted is None:
        if not versions:
            raise ModelError(
                f'no model is live in {serving}; run the recipe until one is pushed, or give one '
                'with --model'
            )
        return [*versions.values()][-1]
    folder = versions.get(wanted, Path(wanted))
    if not folder.is_dir():
        available = ', '.join(versions) or 'none'
        raise ModelError(f'{wanted} is neither a folder nor a version in {serving}: {available}')
    return folder
