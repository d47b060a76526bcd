"""Versions of a model in the folder that a model server watches. Imports no TensorFlow, no TFX.

The server loads the folder with the highest number. So a version is written beside it under
another name, checked, and renamed when it is whole; one that is removed is renamed first.
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

EXTRA = 'assets.extra/'  # where files beside a SavedModel lie
LOCK, HIGHEST = '.push.lock', '.highest_version'
_COMING, _GOING = '.coming-', '.going-'  # names that a model server passes over
_PATIENCE = 60.0  # seconds


@dataclasses.dataclass(frozen=True)
class Pushed:
    """A version that is live.

    Attributes:
        version: its number.
        folder: where it is.
        unchanged: whether it was live already.
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
    beside: Mapping[str, Path] | None = None,
    patience: float = _PATIENCE,
) -> Pushed:
    """Makes a model live, whole or not at all.

    Args:
        model: a SavedModel.
        serving: the folder that a model server watches; made if there is none.
        keep: how many versions stay, this one included.
        about: where it comes from.
        beside: more files, by their names; they go to `assets.extra/`.
        patience: seconds to wait for another push to end.

    Returns:
        The version. If the one that is live is the same model with the same beside it, that one.

    Raises:
        PushError: the folder cannot be written, or another push is going on.
    """
    files = {**files_of(model), **_in_extra(beside or {})}
    if GRAPH not in files:
        raise PushError(f'{model} is no whole model: {GRAPH} is missing')
    with _alone(serving, patience):
        live = next(reversed(versions_in(serving)), None)
        if live and is_same(files, files_of(live)):
            _remove_older(serving, keep)
            return Pushed(int(live.name), live, unchanged=True)
        return _place(files, digests_of(files), serving, keep, about, copy)


def restore(version: Path, *, keep: int, about: About, patience: float = _PATIENCE) -> Pushed:
    """Makes an earlier version live again, under a new number.

    Args:
        version: its folder.
        keep: how many versions stay, the new one included.
        about: where it comes from.
        patience: seconds to wait for another push to end.

    Raises:
        PushError: the folder cannot be written, or another push is going on.
    """
    serving = version.parent
    with _alone(serving, patience):
        files = files_of(version)
        if GRAPH not in files:
            raise PushError(f'{version} is no whole model: {GRAPH} is missing')
        return _place(files, digests_of(files), serving, keep, about, link)


def remove_half_copies(serving: Path, patience: float = _PATIENCE) -> None:
    """Removes what a push that was killed has left; a push does so itself.

    Raises:
        PushError: it cannot be removed.
    """
    if serving.is_dir() and _half_copies(serving):
        with _alone(serving, patience):
            pass  # it is the first thing that is done with the lock


def _place(
    files: Mapping[str, Path],
    digests: Mapping[str, str],
    serving: Path,
    keep: int,
    about: About,
    bring: Callable[[Mapping[str, Path], Path], None],
) -> Pushed:
    """Writes a version beside the others, checks it, and gives it its number."""
    coming = serving / f'{_COMING}{uuid.uuid4().hex}'
    try:
        coming.mkdir()
        bring(files, coming)
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
        with contextlib.suppress(OSError):  # the first error says more, and the next push does it
            _remove_half_copies(serving)
        raise
    _remove_older(serving, keep)
    return Pushed(number, folder, unchanged=False)


def _next_number(serving: Path) -> int:
    """The clock's, but always higher than any before, also than one that was removed."""
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
            reason = f'is no longer kept, and cannot be removed: {_reason(error)}'
            raise PushError(f'{folder} {reason}') from error


@contextlib.contextmanager
def _alone(serving: Path, patience: float) -> Iterator[None]:
    """Two pushes never interleave; also turns what went wrong into a sentence."""
    try:
        serving.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(serving / LOCK, timeout=patience):
            _remove_half_copies(serving)
            yield
    except filelock.Timeout:
        raise PushError(
            f'another push to {serving} is going on, for more than {patience:g} seconds'
        ) from None
    except OSError as error:
        reason = 'it is no folder' if isinstance(error, FileExistsError) else _reason(error)
        raise PushError(f'nothing can be pushed to {serving}: {reason}') from error


def _remove_half_copies(serving: Path) -> None:
    for half in _half_copies(serving):
        if half.is_dir():
            shutil.rmtree(half)
        else:
            half.unlink()


def _half_copies(serving: Path) -> list[Path]:
    return [path for path in serving.glob('.*') if path.name.startswith((_COMING, _GOING))]


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _in_extra(beside: Mapping[str, Path]) -> dict[str, Path]:
    return {f'{EXTRA}{name}': path for name, path in beside.items()}
