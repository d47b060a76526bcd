"""Downloads an archive into the cache folder, once; later runs check whether it has changed."""

import json
import logging
import time
import urllib.parse
from pathlib import Path
from typing import Any

import filelock

from common.errors import DataError, DownloadError
from common.files import sha256_of
from components.image_example_gen.sources.archive.cache import cache_folder, cache_name
from components.image_example_gen.sources.archive.transfer import download

_CHECK_AGAIN = 300  # seconds; a run opens its data several times
_WEB_PAGES = (b'<!doctype html', b'<html')

_log = logging.getLogger(__name__)

_checked: dict[Path, float] = {}  # when this process has checked a copy


def fetch(url: str, sha256: str | None = None) -> Path:
    """Downloads a file unless an unchanged copy is in the cache.

    A change is detected by the ETag, Last-Modified or length. A copy with the given digest is not
    checked, and a copy is used as it is if the server cannot be reached.

    Args:
        url: http or https.
        sha256: expected digest of the bytes, hexadecimal; None: any.

    Returns:
        The copy in the cache folder.

    Raises:
        DataError: there is no copy and it cannot be fetched, it is a web page, it has another
            digest, or the copy cannot be written.
    """
    folder = cache_folder()
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    copy = folder / cache_name(url, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f'{copy}.lock'):
            found = _update(url, sha256, copy)
    except OSError as error:
        raise DataError(
            f'{shown(url)} cannot be kept in {folder}: {error.strerror or error}; '
            'CATDOG_CACHE names another folder'
        ) from error
    if sha256:
        _compare(shown(url), found, sha256)
    return copy


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


def _update(url: str, sha256: str | None, copy: Path) -> str:
    """Makes the copy current; returns its digest."""
    notes = _read_notes(copy)
    checked = time.monotonic() - _checked.get(copy, -_CHECK_AGAIN) < _CHECK_AGAIN
    if notes is None or not (notes['sha256'] == sha256 or checked):
        partial = copy.with_name(f'{copy.name}.partial')
        partial.unlink(missing_ok=True)  # of a process that was killed
        try:
            notes = _download(url, sha256, copy, partial, notes)
        finally:
            partial.unlink(missing_ok=True)
        _checked[copy] = time.monotonic()
    return str(notes['sha256'])


def _download(
    url: str, sha256: str | None, copy: Path, partial: Path, notes: dict[str, Any] | None
) -> dict[str, Any]:
    """Replaces the copy if there is a new file; returns the notes of the copy."""
    try:
        validators = download(url, partial, notes['validators'] if notes else {})
        if validators is not None:
            _require_no_web_page(partial)
    except DownloadError as error:
        if notes is None:
            raise DataError(f'{shown(url)} cannot be fetched: {error}') from error
        _log.warning(
            '%s cannot be fetched (%s); the copy of %s is used',
            shown(url),
            error,
            notes['fetched'],
        )
        return notes
    if validators is None:
        assert notes is not None
        return notes
    digest = sha256_of(partial)
    if sha256:
        _compare(shown(url), digest, sha256)
    notes = {
        'url': shown(url),
        'fetched': time.strftime('%Y-%m-%d'),
        'sha256': digest,
        'size': partial.stat().st_size,
        'validators': validators,
    }
    _notes_file(copy).unlink(missing_ok=True)  # a copy without notes is fetched again
    partial.replace(copy)
    _notes_file(copy).write_text(json.dumps(notes))
    return notes


def _notes_file(copy: Path) -> Path:
    return copy.with_name(f'{copy.name}.json')


def _read_notes(copy: Path) -> dict[str, Any] | None:
    """None if there is no copy, or one that the notes do not describe."""
    try:
        notes = json.loads(_notes_file(copy).read_text())
        return notes if notes['size'] == copy.stat().st_size and 'validators' in notes else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _require_no_web_page(path: Path) -> None:
    with path.open('rb') as file:
        head = file.read(512).lstrip().lower()
    if head.startswith(_WEB_PAGES):
        raise DownloadError('it is a web page, not an archive; give the address of the file itself')


def _compare(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise DataError(f'{name} has the sha256 {found}; expected {expected} (data.sha256)')
