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
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from common.errors import PushError, StorageError
from common.files import flush, locked
from common.mirror import is_remote, uri_of
from common.storage import Folder, fetch
from components.pusher.bucket import ServingBucket
from components.pusher.serving_folder import (
    EXTRA,
    GRAPH,
    UNFINISHED,
    VERSION,
    About,
    Note,
    check_owner,
    create_version,
    files_of,
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
    bucket: ServingBucket | None = None,
    check: Callable[[], None] = lambda: None,
    replace_newer: bool = False,
) -> Pushed:
    """Pushes a model atomically, and removes old versions; a warning names those that stay.

    `model` is the folder of a SavedModel, or an earlier version to make it live again; `keep`
    includes the new version; `extra_files`, by name, are copied to `assets.extra/`; `bucket` gets
    the same versions. `check` is called while no other push can be made, and may raise PushError.
    With `replace_newer`, a live model that is unchanged replaces a newer version in the bucket.

    Returns:
        The new version, or the live one if it has the same model and extra files, and the bucket
        serves it.

    Raises:
        PushError: the serving directory or the bucket is not writable, another push holds the
            lock, or the live model is unchanged, but the bucket serves a newer one.
        ModelError: the versions are of another recipe.
    """
    extra = {f'{EXTRA}/{name}': path for name, path in (extra_files or {}).items()}
    files = files_of(model) | extra
    if GRAPH not in files:
        raise PushError(f'{uri_of(model)} is not a SavedModel: {GRAPH} is missing')
    with _locked(serving):
        check_owner(serving, about.recipe)
        known = versions_in(serving)  # which `check` and the gate know
        check()
        live = next(reversed(versions_in(serving)), None)
        same = live if live and _has_files(live, files) else None
        if same and bucket and not replace_newer:
            _check_served(bucket, same)
        if same and (bucket is None or bucket.serves(same)):
            pushed = Pushed(same, unchanged=True)
        else:
            pushed = Pushed(_place(files, serving, about, bucket, known), unchanged=False)
        if not is_remote(serving):
            _remove_older(serving, keep)
        if bucket:
            bucket.remove_older(keep)
        return pushed


def _check_served(bucket: ServingBucket, live: Path) -> None:
    """Raises PushError if the bucket serves a newer version than this host."""
    newer = bucket.newer_than(live)
    if newer is not None:
        raise PushError(
            f'{bucket.url} serves version {newer} of another host or of a killed push, and the '
            f'model of version {live.name} is unchanged; models rollback makes it live there'
        )


def _has_files(version: Path, files: Mapping[str, Path]) -> bool:
    fetch(version)
    own = files_of(version)
    return own.keys() == files.keys() and all(
        filecmp.cmp(own[name], path, shallow=False) for name, path in files.items()
    )


def _place(
    files: Mapping[str, Path],
    serving: Path,
    about: About,
    bucket: ServingBucket | None,
    known: Collection[Path],
) -> Path:
    """Writes a version under a temporary name, uploads it, and renames it to its number."""
    used = [int(path.name) for path in versions_in(serving)] + (bucket.numbers() if bucket else [])
    number = max(int(time.time()), *(each + 1 for each in used), 1)
    if not VERSION.fullmatch(str(number)):
        places = f'{uri_of(serving)} or {bucket.url}' if bucket else serving
        raise PushError(
            f'no version can be higher than {number - 1}; remove this folder from {places}'
        )
    now = datetime.datetime.now(datetime.timezone.utc)
    note = Note(version=number, pushed=now, about=about).model_dump_json(indent=1).encode()
    if bucket and is_remote(serving):
        with bucket.uploaded(number, files, note):
            _check_alone(serving, number, known)
        return serving / str(number)
    coming = serving / f'{UNFINISHED}{uuid.uuid4().hex}'
    try:
        create_version(Folder(serving), coming.name, files)
        write_version(Folder(serving), coming.name, files, note)
        for each in (coming, *coming.rglob('*')):
            if each.is_dir():
                flush(each)
        with bucket.uploaded(number, files, note) if bucket else contextlib.nullcontext():
            folder = coming.rename(serving / str(number))
        flush(serving)
    except BaseException:  # also Ctrl-C
        shutil.rmtree(coming, ignore_errors=True)  # keep the first error
        raise
    return folder


def _check_alone(serving: Path, number: int, known: Collection[Path]) -> None:
    """Raises PushError if another push, which no lock prevents, completed a version meanwhile.

    Versions that were incomplete before this push are not `known`.
    """
    own = serving / str(number)
    if others := [each for each in versions_in(serving) if each not in (own, *known)]:
        raise PushError(
            f'version {others[-1].name} went live meanwhile; nothing is pushed: push again'
        )


def _remove_older(serving: Path, keep: int) -> None:
    """Removes the versions before the newest `keep`, and what a killed push has left of others.

    The reference of the live version stays.
    """
    *older, live = versions_in(serving)
    many = max(len(older) + 1 - keep, 0)
    old = [each for each in older[:many] if each != reference_of(live)]
    for folder in (*serving.glob(f'{_GOING}*'), *old):
        name = folder.name.removeprefix(_GOING)
        try:
            going = folder.rename(serving / f'{_GOING}{name}')
            shutil.rmtree(going)
        except OSError as error:  # the new version is live
            reason = error.strerror or error
            _log.warning('old version %s cannot be removed: %s', serving / name, reason)


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
