"""Downloads files in a limited subprocess; keeps archives in the cache folder.

A time-out of a connection restarts with every byte and every redirect, and a header may have no
end: an alarm ends a request that is slow, the limits of the subprocess one that is large.
"""

import hashlib
import logging
import os
import shutil
import signal
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import filelock
import requests
import urllib3

from common.errors import CallFailed, DataError, DownloadError
from common.files import MEGABYTE, replacing, sha256_of
from common.mirror import cache_folder
from common.redaction import redacted
from components.image_example_gen.inspection.limited_process import Limits, call

_SECONDS = 4 * 3600  # for an archive
_TIMEOUT = (10, 60)  # seconds to connect, and between two bytes
_LIMITS = Limits(3600, 500)
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_MOST = 100_000 * MEGABYTE  # bytes of an archive
_SHARE_OF_DISK = 0.9  # of the free space
_CHECK_AGAIN = 300  # seconds; a run opens its data several times

_log = logging.getLogger(__name__)


def get(url: str, most: int, seconds: int, etag: str = '') -> Iterator[bytes]:
    """Yields the ETag of a file, or nothing, and its body of `most` bytes in parts of a megabyte.

    `etag` is that of a copy; an unchanged file has no items. Raises DownloadError if the server
    does not send the file in `seconds`, or sends too much.
    """
    try:
        yield from call(_LIMITS, receive, url, most, seconds, etag)
    except CallFailed:
        raise DownloadError('the server sends a header or a redirect that is too large') from None


def receive(url: str, most: int, seconds: int, etag: str) -> Iterator[bytes]:
    """Runs in the subprocess; see `get`."""
    logging.getLogger('urllib3').setLevel(logging.ERROR)  # its warnings have the complete URL

    def stop(*_: object) -> None:
        raise DownloadError(f'the server takes over {seconds} s for the file', retryable=True)

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    # Identity: some servers call a tar.gz a gzip-encoded tar.
    headers = {'Accept-Encoding': 'identity'} | ({'If-None-Match': etag} if etag else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == 304 and etag:
                return
            if response.status_code != 200:
                problem = f'the server answers {response.status_code} {response.reason[:100]}'
                raise DownloadError(problem, retryable=response.status_code in _BUSY)
            if response.headers.get('Content-Type', '').startswith('text/html'):
                raise DownloadError('it is a web page; give the address of the file itself')
            received = 0
            yield response.headers.get('ETag', '').encode()
            while part := response.raw.read(MEGABYTE, decode_content=False):
                received += len(part)
                if received + (response.raw.length_remaining or 0) > most:
                    raise DownloadError(f'it has more than {most / MEGABYTE:,.0f} MB')
                yield part
    # Without the cause, whose message has the query of the URL and may be logged.
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout):
        problem = 'the server cannot be reached, or has no valid certificate'
        raise DownloadError(problem, retryable=True) from None
    except (requests.RequestException, ValueError):
        raise DownloadError('the address, a redirect or a header is not valid') from None
    except urllib3.exceptions.HTTPError:
        raise DownloadError('the connection is lost', retryable=True) from None
    finally:
        signal.alarm(0)


def cache_name(key: str, name: str) -> str:
    """A name in the cache folder, also with a suffix: a hash of the key, and the end of `name`."""
    digest = hashlib.sha256(os.fsencode(key)).hexdigest()
    end = os.fsencode(name.replace('\0', ''))[-60:]  # a name has at most 255 bytes
    return f'{digest[:16]}-{end.decode(errors="ignore") or "archive"}'


def fetch(url: str, sha256: str | None = None) -> Path:
    """Downloads a file unless an unchanged copy is in the cache folder; returns the copy.

    A change is detected by the ETag. A copy with the digest `sha256` (hexadecimal) is not checked.
    If the download fails, an existing copy is used and a warning is logged.

    Raises DataError if there is no copy and the download fails, or the copy cannot be written.
    """
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    copy = cache_folder() / cache_name(url, name)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f'{copy}.lock'):
            if not (sha256 and copy.exists() and sha256_of(copy) == sha256.lower()):
                _update(url, copy)
    except DownloadError as error:
        if not copy.exists():
            raise DataError(f'{redacted(url)} cannot be fetched: {error}') from error
        _log.warning('%s cannot be fetched (%s); an earlier copy is used', redacted(url), error)
    except OSError as error:
        raise DataError(
            f'{redacted(url)} cannot be kept in {copy.parent}: {error.strerror or error}; '
            'CATDOG_CACHE names another folder'
        ) from error
    return copy


def _update(url: str, copy: Path) -> None:
    """Replaces the copy atomically if the server has another version."""
    note = copy.with_name(f'{copy.name}.etag')  # its time is that of the last check
    etag = note.read_text() if copy.exists() and note.exists() else None
    if etag is None or time.time() - note.stat().st_mtime > _CHECK_AGAIN:
        most = min(int(_SHARE_OF_DISK * shutil.disk_usage(copy.parent).free), _MOST)
        parts = get(url, most, _SECONDS, etag or '')
        if (head := next(parts, None)) is not None:
            etag = head.decode()
            with replacing(copy) as partial, partial.open('wb') as file:
                for part in parts:
                    file.write(part)
                note.unlink(missing_ok=True)  # it is that of the earlier copy
        note.write_text(etag or '')
