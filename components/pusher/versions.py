"""Pushes and removes versions in the serving directory.

The model server loads the folder with the highest number. So a version is written under a temporary
name, verified and then renamed; a version to be removed is renamed first. If there is a bucket, the
version is uploaded before it is renamed: what a bucket does not have is not live.
"""

import contextlib
import dataclasses
import datetime
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from common.errors import PushError, StorageError
from common.files import flush, locked, sha256_of, write_atomically
from common.manual_override import OVERRIDE_FILE
from components.pusher.bucket import ServingBucket
from components.pusher.serving_folder import (
    EXTRA,
    GRAPH,
    NOTE_FILE,
    About,
    Note,
    check_owner,
    versions_in,
)

LOCK = '.push.lock'
_COMING, _GOING = '.coming-', '.going-'  # temporary names, ignored by model servers
_PATIENCE = 60.0  # seconds to wait for the lock of another push


@dataclasses.dataclass(frozen=True)
class Pushed:
    """A live version."""

    folder: Path  # its name is the version number
    unchanged: bool  # whether it was already live


def push(
    model: Path,
    serving: Path,
    *,
    keep: int,
    about: About,
    extra_files: Mapping[str, Path] | None = None,
    bucket: ServingBucket | None = None,
    check: Callable[[], None] = lambda: None,
) -> Pushed:
    """Pushes a model atomically, and removes old versions.

    `model` is the folder of a SavedModel, or an earlier version to make it live again; `keep`
    includes the new version; `extra_files`, by name, are copied to `assets.extra/`; `bucket` gets
    the same versions. `check` is called while no other push can be made, and may raise PushError.

    Returns:
        The new version, or the live one if it has the same model and extra files.

    Raises:
        PushError: the serving directory or the bucket is not writable, or another push holds the
            lock.
        ModelError: the versions are of another recipe.
    """
    extra = {f'{EXTRA}/{name}': path for name, path in (extra_files or {}).items()}
    files = files_of(model) | extra
    if GRAPH not in files:
        raise PushError(f'{model} is not a SavedModel: {GRAPH} is missing')
    with _locked(serving):
        check_owner(serving, about.recipe)
        check()
        digests = _digests(files)
        live = versions_in(serving)[-1:]
        unchanged = any(_digests(files_of(folder)) == digests for folder in live)
        if not unchanged:
            folder = _place(files, digests, serving, about, bucket)
        else:
            (folder,) = live
            if bucket and not bucket.serves(folder):
                bucket.upload(folder, int(folder.name))
        _remove_older(serving, keep)
        if bucket:
            bucket.remove_older()
        return Pushed(folder, unchanged)


def files_of(model: Path) -> dict[str, Path]:
    """Files of a model by relative path, without the note and the override of a version."""
    own = {model / NOTE_FILE, model / EXTRA / OVERRIDE_FILE}
    return {
        path.relative_to(model).as_posix(): path
        for path in sorted(model.rglob('*'))
        if path.is_file() and path not in own
    }


def _digests(files: Mapping[str, Path]) -> dict[str, str]:
    return {name: sha256_of(path) for name, path in files.items()}


def _copy(files: Mapping[str, Path], folder: Path) -> None:
    """Copies files into a folder, the graph last."""
    for name, source in sorted(files.items(), key=lambda each: (each[0] == GRAPH, each[0])):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        flush(target)


def _place(
    files: Mapping[str, Path],
    digests: Mapping[str, str],
    serving: Path,
    about: About,
    bucket: ServingBucket | None,
) -> Path:
    """Writes a version under a temporary name, verifies, uploads and renames it."""
    coming = serving / f'{_COMING}{uuid.uuid4().hex}'
    try:
        coming.mkdir()
        _copy(files, coming)
        if _digests(files_of(coming)) != digests:
            raise PushError(f'the copy of the model in {serving} differs from the model')
        number = _next_number(serving, bucket)
        now = datetime.datetime.now(datetime.timezone.utc)
        note = Note(version=number, pushed=now, about=about)
        (coming / EXTRA).mkdir(exist_ok=True)
        write_atomically(coming / NOTE_FILE, note.model_dump_json(indent=1), durable=True)
        for each in (coming, *coming.rglob('*')):
            if each.is_dir():
                flush(each)
        if bucket:
            bucket.upload(coming, number)
        folder = coming.rename(serving / str(number))
        flush(serving)
    except BaseException:  # also Ctrl-C
        with contextlib.suppress(OSError):  # keep the first error; the next push removes them
            _remove_partial_copies(serving)
        raise
    return folder


def _next_number(serving: Path, bucket: ServingBucket | None) -> int:
    """The Unix time, or one above the highest version."""
    numbers = [int(path.name) for path in versions_in(serving)]
    numbers += bucket.versions() if bucket else []
    return max(int(time.time()), *(number + 1 for number in numbers), 1)


def _remove_older(serving: Path, keep: int) -> None:
    for folder in versions_in(serving)[:-keep]:
        going = folder.with_name(f'{_GOING}{folder.name}')
        try:
            folder.rename(going)
            shutil.rmtree(going)
        except OSError as error:
            reason = error.strerror or error
            raise PushError(f'old version {folder} cannot be removed: {reason}') from error


@contextlib.contextmanager
def _locked(serving: Path) -> Iterator[None]:
    """Holds the lock of the serving directory; converts other errors to PushError."""
    try:
        serving.mkdir(parents=True, exist_ok=True)
        held = PushError(
            f'another push to {serving} still holds the lock after {_PATIENCE:g} seconds'
        )
        with locked(serving / LOCK, held, patience=_PATIENCE):
            _remove_partial_copies(serving)
            yield
    except StorageError as error:
        raise PushError(f'cannot push: {error}') from error
    except OSError as error:
        reason = (
            'it is not a folder' if isinstance(error, FileExistsError) else error.strerror or error
        )
        raise PushError(f'cannot push to {serving}: {reason}') from error


def _remove_partial_copies(serving: Path) -> None:
    """Removes what a killed push left."""
    for path in serving.glob('.*'):
        if path.name.startswith((_COMING, _GOING)):
            shutil.rmtree(path)
