"""Pushes, restores and removes versions in the serving directory.

The model server loads the folder with the highest number. So a version is written under a temporary
name, verified and then renamed; a version to be removed is renamed first.
"""

import contextlib
import dataclasses
import datetime
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import filelock

from common.errors import PushError
from common.files import flush, write_atomically
from components.pusher.equality import is_same
from components.pusher.model_files import (
    GRAPH,
    copy,
    digest_of,
    digests_of,
    files_of,
    flush_folders,
    link,
)
from components.pusher.serving_folder import NOTE_FILE, About, Note, versions_in

EXTRA = 'assets.extra/'  # folder of extra files in a SavedModel
LOCK, HIGHEST = '.push.lock', '.highest_version'
_COMING, _GOING = '.coming-', '.going-'  # temporary names, ignored by model servers
_PATIENCE = 60.0  # seconds


@dataclasses.dataclass(frozen=True)
class Pushed:
    """A live version.

    Attributes:
        version: version number.
        folder: folder of the version.
        unchanged: whether it was already live.
    """

    version: int
    folder: Path
    unchanged: bool


def push(
    model: Path,
    serving: Path,
    *,
    keep: int,
    about: About,
    extra_files: Mapping[str, Path] | None = None,
    patience: float = _PATIENCE,
) -> Pushed:
    """Pushes a model atomically.

    Args:
        model: folder of a SavedModel.
        serving: serving directory; created if missing.
        keep: number of versions to keep, including this one.
        about: provenance.
        extra_files: files by name, copied to `assets.extra/`.
        patience: seconds to wait for the lock of another push.

    Returns:
        The new version, or the live one if it has the same model and extra files.

    Raises:
        PushError: the serving directory is not writable, or another push holds the lock.
    """
    files = files_of(model)
    _require_graph(files, model)
    files |= {f'{EXTRA}{name}': path for name, path in (extra_files or {}).items()}
    with _locked(serving, patience):
        live = next(reversed(versions_in(serving)), None)
        if live and is_same(files, files_of(live)):
            _remove_older(serving, keep)
            return Pushed(int(live.name), live, unchanged=True)
        return _place(files, serving, keep, about, copy)


def restore(version: Path, *, keep: int, about: About) -> Pushed:
    """Makes an earlier version live again, under a new number.

    Args:
        version: folder of the version.
        keep: number of versions to keep, including the new one.
        about: provenance.

    Raises:
        PushError: the serving directory is not writable, or another push holds the lock.
    """
    serving = version.parent
    with _locked(serving):
        files = files_of(version)
        _require_graph(files, version)
        return _place(files, serving, keep, about, link)


def remove_partial_copies(serving: Path, patience: float = _PATIENCE) -> None:
    """Removes temporary files of a killed push; the next push does so too.

    Raises:
        PushError: they cannot be removed.
    """
    if serving.is_dir() and _partial_copies(serving):
        with _locked(serving, patience):
            pass  # taking the lock removes them


def _require_graph(files: Mapping[str, Path], model: Path) -> None:
    if GRAPH not in files:
        raise PushError(f'{model} is not a SavedModel: {GRAPH} is missing')


def _place(
    files: Mapping[str, Path],
    serving: Path,
    keep: int,
    about: About,
    transfer: Callable[[Mapping[str, Path], Path], None],
) -> Pushed:
    """Writes a version under a temporary name, verifies and renames it."""
    digests = digests_of(files)
    coming = serving / f'{_COMING}{uuid.uuid4().hex}'
    try:
        coming.mkdir()
        transfer(files, coming)
        if digests_of(files_of(coming)) != digests:
            raise PushError(f'the copy of the model in {serving} differs from the model')
        number = _next_number(serving)
        folder = serving / str(number)
        now = datetime.datetime.now(datetime.timezone.utc)
        note = Note(version=number, pushed=now, digest=digest_of(digests), about=about)
        note_file = coming / NOTE_FILE
        note_file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(note_file, note.model_dump_json(indent=1), durable=True)
        flush_folders(coming)
        coming.rename(folder)
        flush(serving)
    except BaseException:  # also Ctrl-C
        with contextlib.suppress(OSError):  # keep the first error; the next push removes them
            _remove_partial_copies(serving)
        raise
    _remove_older(serving, keep)
    return Pushed(number, folder, unchanged=False)


def _next_number(serving: Path) -> int:
    """The Unix time, or one above the highest number ever used."""
    used = [int(path.name) for path in versions_in(serving)]
    with contextlib.suppress(FileNotFoundError, ValueError):
        used.append(int((serving / HIGHEST).read_text()))
    number = max(int(time.time()), *(each + 1 for each in used), 1)
    write_atomically(serving / HIGHEST, f'{number}\n', durable=True)
    return number


def _remove_older(serving: Path, keep: int) -> None:
    for folder in versions_in(serving)[:-keep]:
        going = folder.with_name(f'{_GOING}{folder.name}')
        try:
            folder.rename(going)
            shutil.rmtree(going)
        except OSError as error:
            raise PushError(f'old version {folder} cannot be removed: {_reason(error)}') from error


@contextlib.contextmanager
def _locked(serving: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """Holds the lock of the serving directory; converts OSError to PushError."""
    try:
        serving.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(serving / LOCK, timeout=patience):
            _remove_partial_copies(serving)
            yield
    except filelock.Timeout:
        raise PushError(
            f'another push to {serving} still holds the lock after {patience:g} seconds'
        ) from None
    except OSError as error:
        reason = 'it is not a folder' if isinstance(error, FileExistsError) else _reason(error)
        raise PushError(f'cannot push to {serving}: {reason}') from error


def _remove_partial_copies(serving: Path) -> None:
    for path in _partial_copies(serving):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _partial_copies(serving: Path) -> list[Path]:
    return [path for path in serving.glob('.*') if path.name.startswith((_COMING, _GOING))]


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
