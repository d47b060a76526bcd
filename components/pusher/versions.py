"""Pushes and removes versions in the serving directory.

The model server loads the folder with the highest number. So a version is written under a temporary
name, verified and then renamed; a version to be removed is renamed first. If there is a bucket, the
version is uploaded before it is renamed: what a bucket does not have is not live.
"""

import contextlib
import dataclasses
import datetime
import filecmp
import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from common.errors import PushError, StorageError
from common.files import flush, locked
from common.mirror import is_remote, uri_of
from common.storage import Folder, fetch, storage_of
from components.pusher.bucket import serves, unfinished, upload
from components.pusher.serving_folder import (
    EXTRA,
    GRAPH,
    UNFINISHED,
    VERSION,
    About,
    Note,
    check_owner,
    files_of,
    numbers_in,
    reference_of,
    versions_in,
    write_version,
)

LOCK = '.push.lock'
_GOING = '.going-'  # temporary name, ignored by model servers
_PATIENCE = 60.0  # seconds to wait for the lock of another push
_log = logging.getLogger(__name__)


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
    bucket: Path | None = None,
    check: Callable[[], None] = lambda: None,
) -> Pushed:
    """Pushes a model atomically, and removes old versions; a warning names those that stay.

    `model` is the folder of a SavedModel, or an earlier version to make it live again; `keep`
    includes the new version; `extra_files`, by name, are copied to `assets.extra/`; `bucket` gets
    the same versions, and is `serving` itself if that is in object storage. `check` is called while
    no other push to a folder can be made, and may raise PushError.

    Returns:
        The new version, or the live one if it has the same model and extra files, and the bucket
        serves it.

    Raises:
        PushError: the serving directory or the bucket is not writable, another push holds the
            lock, or another one to the bucket ended first.
        ModelError: the versions are of another recipe.
    """
    extra = {f'{EXTRA}/{name}': path for name, path in (extra_files or {}).items()}
    files = files_of(model) | extra
    if GRAPH not in files:
        raise PushError(f'{uri_of(model)} is not a SavedModel: {GRAPH} is missing')
    bucket = serving if is_remote(serving) else bucket
    places = [*dict.fromkeys(filter(None, (serving, bucket)))]
    with _locked(serving):
        for place in places:
            check_owner(place, about.recipe)
        known = versions_in(bucket) if bucket else []  # before `check`
        check()
        live = next(reversed(versions_in(serving)), None)
        if live and _has_files(live, files) and (bucket is None or serves(bucket, live)):
            pushed = Pushed(live, unchanged=True)
        else:
            number = _next_number(places)
            now = datetime.datetime.now(datetime.timezone.utc)
            note = Note(version=number, pushed=now, about=about)
            contents = note.model_dump_json(indent=1).encode()
            with contextlib.ExitStack() as stack:
                if serving != bucket:
                    stack.enter_context(_renamed(serving / str(number), files, contents))
                if bucket:
                    upload(bucket / str(number), files, contents, about.recipe or '', known)
            pushed = Pushed(serving / str(number), unchanged=False)
        for place in places:
            _remove_older(place, keep)
        return pushed


def _next_number(places: list[Path]) -> int:
    """The time, or a number above those of all versions in some places."""
    used = (each + 1 for place in places for each in numbers_in(place))
    number = max(int(time.time()), *used, 1)
    if not VERSION.fullmatch(str(number)):
        where = ' or '.join(map(uri_of, places))
        raise PushError(
            f'no version can be higher than {number - 1}; remove this folder from {where}'
        )
    return number


def _has_files(version: Path, files: Mapping[str, Path]) -> bool:
    fetch(version)
    own = files_of(version)
    return own.keys() == files.keys() and all(
        filecmp.cmp(own[name], path, shallow=False) for name, path in files.items()
    )


@contextlib.contextmanager
def _renamed(version: Path, files: Mapping[str, Path], note: bytes) -> Iterator[None]:
    """Writes a version under a temporary name, and renames it at the end of the block."""
    serving = version.parent
    coming = serving / f'{UNFINISHED}{uuid.uuid4().hex}'
    try:
        write_version(Folder(serving), coming.name, files, note)
        for each in (coming, *coming.rglob('*')):
            if each.is_dir():
                flush(each)
        yield
        coming.rename(version)
        flush(serving)
    except BaseException:  # also Ctrl-C
        shutil.rmtree(coming, ignore_errors=True)  # keep the first error
        raise


def _remove_older(place: Path, keep: int) -> None:
    """Removes the versions before the newest `keep`, and what failed pushes have left.

    The reference of the live version stays.
    """
    try:
        complete = versions_in(place)
        reference = reference_of(complete[-1])
        old = [each for each in complete[:-keep] if each != reference]
        left = unfinished(place) if is_remote(place) else place.glob(f'{_GOING}*')
        going = [*left, *old]
    except (OSError, StorageError) as error:  # the new version is live
        _log.warning('old versions cannot be removed: %s', error)
        return
    for version in going:
        try:
            _remove(version)
        except (OSError, StorageError) as error:
            _log.warning('old version %s cannot be removed: %s', version.name, error)


def _remove(version: Path) -> None:
    if is_remote(version):
        storage_of(version.parent).remove(version.name)
        return
    going = version.with_name(f'{_GOING}{version.name.removeprefix(_GOING)}')
    shutil.rmtree(version.rename(going))


@contextlib.contextmanager
def _locked(serving: Path) -> Iterator[None]:
    """Holds the lock of the serving directory, if it is on a disk; converts errors to PushError."""
    try:
        serving.mkdir(parents=True, exist_ok=True)
        held = PushError(
            f'another push to {serving} still holds the lock after {_PATIENCE:g} seconds'
        )
        lock = locked(serving / LOCK, held, patience=_PATIENCE)
        with contextlib.nullcontext() if is_remote(serving) else lock:
            yield
    except StorageError as error:
        raise PushError(f'cannot push: {error}') from error
    except OSError as error:
        reason = (
            'it is not a folder' if isinstance(error, FileExistsError) else error.strerror or error
        )
        raise PushError(f'cannot push to {uri_of(serving)}: {reason}') from error
