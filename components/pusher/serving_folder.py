"""What is written beside a pushed model: where it comes from. Imports no TensorFlow and no TFX."""

import datetime
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import ModelError

NOTE_FILE = 'assets.extra/push.json'  # in the folder of a version

PUSHED_BY_ROLLBACK, PUSHED_BY_BLESS = 'rollback', 'bless'  # values of About.by_hand


class About(BaseModel):
    """Where a pushed model comes from; unknown keys are those of a later version, and are left out.

    Attributes:
        recipe: its name, which is that of the pipeline.
        run: id of the pipeline run that pushed it; of the one that did first, if by hand.
        model: folder of the Trainer's model.
        model_id: of the same in the metadata.
        accuracy: on the test split, 0 to 1.
        spans: numbers of those it was trained on.
        by_hand: what a person did instead of a run.
        person: who that was.
        reason: what the person said.
        version: the one that was made live again.
        withdrawn: folder of the Trainer's model that was live and has lost its blessing.
        withdrawn_id: of the same in the metadata.
    """

    model_config = ConfigDict(frozen=True)

    recipe: str | None = None
    run: str | None = None
    model: str | None = None
    model_id: int | None = None
    accuracy: float | None = None
    spans: tuple[int, ...] = ()
    by_hand: Literal['rollback', 'bless'] | None = None
    person: str | None = None
    reason: str | None = None
    version: int | None = None
    withdrawn: str | None = None
    withdrawn_id: int | None = None


class Note(BaseModel):
    """What `push` writes into a version.

    Attributes:
        version: the number of its folder.
        pushed: when, with a time zone.
        digest: of the files that were pushed.
        about: where they come from.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    pushed: datetime.datetime
    digest: str
    about: About = About()


def read_note(version: Path) -> Note | None:
    """What was written beside a model; None if it was not pushed from here.

    A note that cannot be read, or that names another version since the folder was copied by
    somebody, says nothing about this one.
    """
    try:
        note = Note.model_validate_json((version / NOTE_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return note if version.name.isdigit() and int(version.name) == note.version else None


_LARGEST = 2**63 - 1  # TensorFlow Serving's numbers are int64


def versions_in(serving: Path) -> list[Path]:
    """Folders of the versions, lowest number first; the last one is live."""
    found = [
        path
        for path in serving.glob('*')
        if re.fullmatch('[0-9]{1,19}', path.name) and int(path.name) <= _LARGEST and path.is_dir()
    ]
    return sorted(found, key=lambda path: int(path.name))


def find_model(serving: Path, wanted: str | None) -> Path:
    """The folder of a model.

    Args:
        serving: the folder that a model server watches.
        wanted: the number of a version in it, or a folder anywhere; None: what is live there.

    Raises:
        ModelError: there is none.
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
        there = ', '.join(versions) or 'none'
        raise ModelError(f'{wanted} is neither a folder nor a version in {serving}: {there}')
    return folder
