"""Fetches an archive from the web, once, into a cache folder; later runs ask whether it changed."""

import dataclasses
import hashlib
import json
import logging
import os
import time
import urllib.parse
from pathlib import Path
from typing import Any

import filelock

from common.errors import DataError, DownloadError
from common.files import sha256_of
from components.image_example_gen.sources.archive.transfer import (
    FAILED,
    Transfer,
    reason_of,
)

_ATTEMPTS = 4  # without anything new
_WAIT = 1.0  # seconds before the second attempt; twice as long before each further one
_ASK_AGAIN = 300  # seconds in which one process, which opens its data several times, asks once
_WEB_PAGES = (b'<!doctype html', b'<html')

_log = logging.getLogger(__name__)

_asked: dict[Path, float] = {}  # when, by the copy


@dataclasses.dataclass(frozen=True)
class _Copy:
    """A kept archive, and beside it what the server said of it and the digest of its bytes."""

    archive: Path

    @property
    def notes_file(self) -> Path:
        return self.archive.with_name(f'{self.archive.name}.json')

    @property
    def partial(self) -> Path:
        return self.archive.with_name(f'{self.archive.name}.partial')

    def read_notes(self) -> dict[str, Any] | None:
        """None if there is no archive, or not the one that was noted."""
        try:
            notes = json.loads(self.notes_file.read_text())
            return notes if notes['size'] == self.archive.stat().st_size else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def replace(self, notes: dict[str, Any]) -> None:
        """What was fetched becomes the copy; cut off in between, it is fetched again."""
        self.notes_file.unlink(missing_ok=True)
        self.partial.replace(self.archive)
        self.notes_file.write_text(json.dumps(notes))


def fetch(url: str, sha256: str | None = None) -> Path:
    """The file at an address, fetched unless an unchanged copy is there.

    Whether it changed is told by its ETag, its Last-Modified or its length. A copy with the digest
    that is wanted is not asked for, and one is used as it is if the server cannot be asked.

    Args:
        url: http or https.
        sha256: what the bytes must hash to, hexadecimal; None: anything.

    Returns:
        The copy in `$CATDOG_CACHE`, else in `catdog-pipeline` in `$XDG_CACHE_HOME` or `~/.cache`.

    Raises:
        DataError: there is no copy and it cannot be fetched, it is a web page, it has another
            digest, or the copy cannot be written.
    """
    copy = _Copy(_place(url))
    folder = copy.archive.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f'{copy.archive}.lock'):
            _fetch(url, sha256, copy)
    except OSError as error:
        raise DataError(
            f'{shown(url)} cannot be kept in {folder}: {error.strerror or error}; '
            'CATDOG_CACHE names another folder'
        ) from error
    return copy.archive


def require_sha256(path: Path, sha256: str) -> None:
    """Raises DataError if a file has another digest."""
    try:
        _compare(str(path), sha256_of(path), sha256)
    except OSError as error:
        raise DataError(f'archive {path} cannot be read: {error.strerror}') from error


def shown(url: str) -> str:
    """An address for messages: without a password or a signature, which may be in it."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:  # of brackets that are no IPv6 address
        return f'{url.partition(":")[0]}://...'
    return f'{parts.scheme}://{parts.netloc.rpartition("@")[2]}{parts.path}'


def _place(url: str) -> Path:
    folder = os.environ.get('CATDOG_CACHE')
    try:
        cache = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    except RuntimeError:
        cache = Path(os.devnull)
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name[-80:] or 'archive'
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    return Path(folder or Path(cache, 'catdog-pipeline')).absolute() / f'{key}-{name}'


def _fetch(url: str, sha256: str | None, copy: _Copy) -> None:
    notes = copy.read_notes()
    asked_lately = time.monotonic() - _asked.get(copy.archive, -_ASK_AGAIN) < _ASK_AGAIN
    if notes is None or not (notes['sha256'] == sha256 or asked_lately):
        copy.partial.unlink(missing_ok=True)  # of a process that was killed
        try:
            notes = _fetch_changed(url, sha256, copy, notes)
        finally:
            copy.partial.unlink(missing_ok=True)
        _asked[copy.archive] = time.monotonic()
    if sha256:
        _compare(shown(url), notes['sha256'], sha256)


def _fetch_changed(
    url: str, sha256: str | None, copy: _Copy, notes: dict[str, Any] | None
) -> dict[str, Any]:
    """Asks for what is new; gives the notes of the copy that there is in the end."""
    try:
        said = _try_often(Transfer(url, copy.partial, (notes or {}).get('said', {})))
        if said is not None:
            _require_archive(copy.partial)
    except FAILED as error:
        if notes is None:
            raise DataError(f'{shown(url)} cannot be fetched: {reason_of(error)}') from error
        _log.warning(
            '%s cannot be fetched (%s); the copy of %s is used',
            shown(url),
            reason_of(error),
            notes['fetched'],
        )
        return notes
    if said is None:  # it is as it was
        assert notes is not None
        return notes
    digest = sha256_of(copy.partial)
    if sha256:
        _compare(shown(url), digest, sha256)
    notes = {
        'url': shown(url),
        'fetched': f'{time.strftime("%Y-%m-%d")}',
        'sha256': digest,
        'size': copy.partial.stat().st_size,
        'said': said,
    }
    copy.replace(notes)
    return notes


def _try_often(transfer: Transfer) -> dict[str, str] | None:
    """As long as more arrives each time, else a few times.

    With a copy at hand nobody waits for a server that does not answer at all.
    """
    vain, most = 0, 0
    while True:
        try:
            return transfer.attempt()
        except FAILED as error:
            arrived = transfer.arrived
            vain = 1 if (arrived or 0) > most else vain + 1
            most = max(most, arrived or 0)
            refused = isinstance(error, DownloadError) and not error.retryable
            hopeless = refused or (transfer.known and arrived is None)
            if hopeless or vain == _ATTEMPTS:
                raise
            time.sleep(_WAIT * 2 ** (vain - 1))


def _require_archive(path: Path) -> None:
    with path.open('rb') as file:
        head = file.read(512).lstrip().lower()
    if head.startswith(_WEB_PAGES):
        raise DownloadError('it is a web page, not an archive; give the address of the file itself')


def _compare(what: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise DataError(f'{what} has the sha256 {found}; expected {wanted} (data.sha256)')
