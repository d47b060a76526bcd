"""Downloads an archive into the cache folder, once; later runs check whether it has changed."""

import hashlib
import json
import logging
import os
import shutil
import time
import urllib.parse
from pathlib import Path

import filelock

from common import console
from common.errors import DataError, DownloadError
from common.files import MEGABYTE, sha256_of
from common.redaction import redacted
from components.image_example_gen.sources.archive.http_transfer import Response, get
from components.image_example_gen.sources.base.reading import convert_os_errors

_CHECK_AGAIN = 300  # seconds; a run opens its data several times
_TRIES, _BACKOFF = 3, 1.0  # seconds, doubled with each
_MOST_UNSTATED = 10_000 * MEGABYTE  # bytes of a file whose length the server does not state
_SHARE_OF_DISK = 0.9  # of the free space

_log = logging.getLogger(__name__)

_checked: dict[Path, float] = {}  # when this process has checked a copy


def cache_folder() -> Path:
    """`$CATDOG_CACHE`, else `catdog-pipeline` in `$XDG_CACHE_HOME` or `~/.cache`."""
    folder = os.environ.get('CATDOG_CACHE')
    if folder:
        return Path(folder).absolute()
    try:
        caches = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    except RuntimeError as error:
        raise DataError('there is no home folder; set CATDOG_CACHE to a cache folder') from error
    return Path(caches, 'catdog-pipeline').absolute()


def cache_name(key: str, name: str) -> str:
    """A name in the cache folder, also with a suffix: a hash of the key, and the end of `name`."""
    digest = hashlib.sha256(os.fsencode(key)).hexdigest()
    end = os.fsencode(name.replace('\0', ''))[-60:]  # a name has at most 255 bytes
    return f'{digest[:16]}-{end.decode(errors="ignore") or "archive"}'


def fetch(url: str, sha256: str | None = None) -> Path:
    """Downloads a file unless an unchanged copy is in the cache folder; returns the copy.

    A change is detected by the ETag or Last-Modified. A copy with the digest `sha256` (hexadecimal)
    is not checked. If the download fails, an existing copy is used and a warning is logged.

    Raises:
        DataError: there is no copy and the download fails, the file has another digest, or the
            copy cannot be written.
    """
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    copy = cache_folder() / cache_name(url, name)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f'{copy}.lock'):
            is_expected = sha256 and copy.exists() and sha256_of(copy) == sha256.lower()
            if not is_expected and time.monotonic() - _checked.get(copy, -1e9) > _CHECK_AGAIN:
                _update(url, copy, verified=sha256 is not None)
                _checked[copy] = time.monotonic()
    except OSError as error:
        raise DataError(
            f'{redacted(url)} cannot be kept in {copy.parent}: {error.strerror or error}; '
            'CATDOG_CACHE names another folder'
        ) from error
    if sha256 and not is_expected:
        require_sha256(copy, sha256, redacted(url))
    return copy


def require_sha256(path: Path, sha256: str, name: str | None = None) -> None:
    """Raises DataError if a file, called `name` in the message, has another digest."""
    with convert_os_errors():
        found = sha256_of(path)
    if found != sha256.lower():
        raise DataError(f'{name or path} has the sha256 {found}; expected {sha256} (data.sha256)')


def _update(url: str, copy: Path, *, verified: bool) -> None:
    """Replaces the copy atomically if the server has another version."""
    partial, metadata = copy.with_name(f'{copy.name}.partial'), copy.with_name(f'{copy.name}.json')
    try:
        described = json.loads(metadata.read_text(encoding='utf-8'))
        known = described['validators'] if described['size'] == copy.stat().st_size else {}
    except (OSError, ValueError, KeyError):
        known = {}
    try:
        validators = _download(url, partial, known, verified=verified)
        if validators is not None:
            metadata.unlink(missing_ok=True)  # it describes the earlier copy
            size = partial.stat().st_size
            partial.replace(copy)
            described = {'url': redacted(url), 'size': size, 'validators': validators}
            metadata.write_text(json.dumps(described), encoding='utf-8')
    except DownloadError as error:
        if not copy.exists():
            raise DataError(f'{redacted(url)} cannot be fetched: {error}') from error
        date = time.strftime('%Y-%m-%d', time.localtime(copy.stat().st_mtime))
        _log.warning(
            '%s cannot be fetched (%s); the copy of %s is used', redacted(url), error, date
        )
    finally:
        partial.unlink(missing_ok=True)


def _download(
    url: str, partial: Path, known: dict[str, str], *, verified: bool
) -> dict[str, str] | None:
    """Receives the file, with retries; its validators, or None if the copy `known` is current."""
    for number in range(_TRIES):
        try:
            return _receive(url, partial, known, verified=verified)
        except DownloadError as error:
            if not error.retryable or known or number == _TRIES - 1:
                raise
            time.sleep(_BACKOFF * 2**number)
    raise AssertionError


def _receive(
    url: str, partial: Path, known: dict[str, str], *, verified: bool
) -> dict[str, str] | None:
    """Unless its digest is `verified`, the server has to state where the file ends."""
    parts = get(url, known)
    head = next(parts)
    assert isinstance(head, Response)
    if head.status == 304:
        return None
    if head.length is None and not head.is_chunked and not verified:
        raise DownloadError(
            'the server does not state its length, so it may be cut off; set data.sha256'
        )
    room = int(_SHARE_OF_DISK * shutil.disk_usage(partial.parent).free)
    most = min(_MOST_UNSTATED, room) if head.length is None else head.length
    if most > room:
        raise DownloadError(
            f'it has {most / MEGABYTE:,.0f} MB, and the disk of {partial.parent} has '
            f'{room / MEGABYTE:,.0f} MB for it; CATDOG_CACHE names another folder'
        )
    received = 0
    total = None if head.length is None else -(-head.length // MEGABYTE)
    with partial.open('wb') as file, console.bar('fetching, MB', total) as bar:
        for part in parts:
            assert isinstance(part, bytes)
            if not received and part[:512].lstrip().lower().startswith(
                (b'<!doctype html', b'<html')
            ):
                raise DownloadError(
                    'it is a web page, not an archive; give the address of the file itself'
                )
            received += file.write(part)
            bar.advance()
            if received > most:
                raise DownloadError(f'the server sends more than {most / MEGABYTE:,.0f} MB')
    if head.length is not None and received < head.length:
        raise DownloadError('the connection is lost', retryable=True)
    return head.validators
