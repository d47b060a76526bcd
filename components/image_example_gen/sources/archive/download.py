"""Downloads files in a limited subprocess; keeps archives in the cache folder.

A time-out of a connection restarts with every byte and every redirect, and a header or the body of
a redirect may have no end. So an alarm ends a request that is slow, and the limits of the
subprocess one that is large.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import signal
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import filelock
import requests
import urllib3

from common import console
from common.errors import CallFailed, DataError, DownloadError
from common.files import MEGABYTE, sha256_of
from common.redaction import redacted
from components.image_example_gen.inspection.limited_process import Limits, call

_SECONDS = 100  # until the first megabyte, and for each further one
_TIMEOUT = (10, 60)  # seconds to connect, and between two bytes
_LIMITS = Limits(3600, 500)
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_MOST = 100_000 * MEGABYTE  # bytes of a file
_SHARE_OF_DISK = 0.9  # of the free space
_CHECK_AGAIN = 300  # seconds; a run opens its data several times
_VALIDATORS = {'ETag': 'If-None-Match', 'Last-Modified': 'If-Modified-Since'}

_log = logging.getLogger(__name__)

_checked: dict[Path, float] = {}  # when this process has checked a copy


class Head(NamedTuple):
    """The head of a response."""

    is_new: bool  # a body follows; False if the file has not changed
    length: int | None  # bytes of the body; None if the server does not state it
    is_chunked: bool  # the body has a mark at its end
    validators: dict[str, str]  # ETag and Last-Modified


def get(
    url: str, known: Mapping[str, str], most: int, *, seconds: int | None = None
) -> Iterator[Head | bytes]:
    """Yields the head of a response, and its body of `most` bytes in parts of a megabyte.

    `known` are the validators of an earlier response. `seconds` limits the whole request, instead
    of each megabyte. Raises DownloadError if the server does not send the file, is too slow, or
    sends too much.
    """
    limits = seconds or _SECONDS, seconds is None
    try:
        yield from call(_LIMITS, receive, url, dict(known), most, *limits)
    except CallFailed:
        raise DownloadError('the server sends a header or a redirect that is too large') from None


def receive(
    url: str, known: Mapping[str, str], most: int, seconds: int, for_each_megabyte: bool
) -> Iterator[Head | bytes]:
    """Runs in the subprocess; see `get`."""
    logging.getLogger('urllib3').setLevel(logging.ERROR)  # its warnings have the complete URL

    def stop(*_: object) -> None:
        what = 'a MB' if for_each_megabyte else 'the file'
        raise DownloadError(f'the server takes over {seconds} s for {what}', retryable=True)

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    # Identity: some servers call a tar.gz a gzip-encoded tar.
    headers = {_VALIDATORS[name]: value for name, value in known.items()}
    headers['Accept-Encoding'] = 'identity'
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            head, received = _head(response, known), 0
            yield head
            while part := response.raw.read(MEGABYTE, decode_content=False):
                received += len(part)
                if max(received, head.length or 0) > most:
                    raise DownloadError(f'it has more than {most / MEGABYTE:,.0f} MB')
                left = signal.alarm(0)
                yield part
                signal.alarm(seconds if for_each_megabyte else left)
            if received < (head.length or 0):
                raise DownloadError('the connection is lost', retryable=True)
    # Without the cause, whose message has the query of the URL and may be logged.
    except requests.exceptions.SSLError:
        raise DownloadError('no safe connection can be made') from None
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        problem = f'the server cannot be reached{_detail(error)}'
        raise DownloadError(problem, retryable=True) from None
    except (requests.RequestException, ValueError):
        raise DownloadError('the address, a redirect or a header is not valid') from None
    except urllib3.exceptions.HTTPError:
        raise DownloadError('the connection is lost', retryable=True) from None
    finally:
        signal.alarm(0)


def _head(response: requests.Response, known: Mapping[str, str]) -> Head:
    """Raises DownloadError for a status that is an error."""
    status, length = response.status_code, response.headers.get('Content-Length')
    if status != 200 and not (status == 304 and known):
        problem = f'the server answers {status} {response.reason[:100]}'
        raise DownloadError(problem, retryable=status in _BUSY)
    if length is not None and not re.fullmatch('[0-9]{1,18}', length):
        raise ValueError(length)
    is_chunked = response.headers.get('Transfer-Encoding', '').lower() == 'chunked'
    validators = {k: response.headers[k] for k in _VALIDATORS if k in response.headers}
    stated = None if is_chunked or length is None else int(length)
    return Head(status == 200, stated, is_chunked, validators)


def _detail(error: BaseException) -> str:
    """The system's message for the cause, in parentheses."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f' ({error.strerror})' if isinstance(error, OSError) and error.strerror else ''


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
        DataError: there is no copy and the download fails, or the copy cannot be written.
    """
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    copy = cache_folder() / cache_name(url, name)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f'{copy}.lock'):
            if sha256 and copy.exists() and sha256_of(copy) == sha256.lower():
                return copy
            if time.monotonic() - _checked.get(copy, -_CHECK_AGAIN) >= _CHECK_AGAIN:
                _update(url, copy, verified=sha256 is not None)
                _checked[copy] = time.monotonic()
    except OSError as error:
        raise DataError(
            f'{redacted(url)} cannot be kept in {copy.parent}: {error.strerror or error}; '
            'CATDOG_CACHE names another folder'
        ) from error
    return copy


def _update(url: str, copy: Path, *, verified: bool) -> None:
    """Replaces the copy atomically if the server has another version."""
    partial, metadata = copy.with_name(f'{copy.name}.partial'), copy.with_name(f'{copy.name}.json')
    try:
        described = json.loads(metadata.read_text(encoding='utf-8'))
        known = described['validators'] if described['size'] == copy.stat().st_size else {}
    except (OSError, ValueError, KeyError):
        known = {}
    try:
        head = _download(url, partial, known, verified=verified)
        if head.is_new:
            metadata.unlink(missing_ok=True)  # it describes the earlier copy
            partial.replace(copy)
            described = {'size': copy.stat().st_size, 'validators': head.validators}
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


def _download(url: str, partial: Path, known: Mapping[str, str], *, verified: bool) -> Head:
    """Receives the file; unless its digest is `verified`, the server has to state where it ends."""
    most = min(int(_SHARE_OF_DISK * shutil.disk_usage(partial.parent).free), _MOST)
    parts = get(url, known, most)
    head = next(parts)
    assert isinstance(head, Head)
    total = None if head.length is None else -(-head.length // MEGABYTE)
    with partial.open('w+b') as file, console.bar('fetching, MB', total) as bar:
        for part in parts:
            assert isinstance(part, bytes)
            file.write(part)
            bar.advance()
        file.seek(0)
        start = file.read(100).lstrip().lower()
    if start.startswith((b'<!doctype html', b'<html')):
        raise DownloadError('it is a web page; give the address of the file itself')
    if head.is_new and head.length is None and not head.is_chunked and not verified:
        problem = 'the server does not state its length, so it may be cut off; set data.sha256'
        raise DownloadError(problem)
    return head
