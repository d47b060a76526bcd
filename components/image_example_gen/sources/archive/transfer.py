"""HTTP requests, and downloads that resume after an interruption."""

import concurrent.futures
import contextlib
import io
import logging
import math
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import requests
import urllib3

from common import console
from common.errors import DownloadError
from common.files import MEGABYTE

logging.getLogger('urllib3').setLevel(logging.ERROR)  # its warnings have the complete URL
CHUNK = 2**16  # bytes
_RETRIES = 3  # without progress
_PROGRESS = MEGABYTE  # bytes
_BACKOFF = 1.0  # seconds, doubled with each retry
_TIMEOUT = (10, 60)  # seconds to connect, and between two chunks
_ANSWER_SECONDS = 60  # until a response begins, with redirects
_SECONDS_PER_MEGABYTE = 100
_MOST_UNSTATED = 10_000 * MEGABYTE  # bytes of a file whose length the server does not state
_SHARE_OF_DISK = 0.9  # of the free space
_LENGTH = re.compile('[0-9]{1,18}')
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_CONDITIONS = {'ETag': 'If-None-Match', 'Last-Modified': 'If-Modified-Since'}
_NOT_VALID = 'the address, or a redirect, is not valid'
_LENGTHS = 'the server states several lengths, or one that is no number'  # in Content-Length
_MESSAGES: dict[type[Exception], str] = {
    requests.exceptions.SSLError: 'no safe connection can be made',
    requests.exceptions.Timeout: 'the server does not answer in time',
    requests.exceptions.ConnectionError: 'the server cannot be reached',
    requests.exceptions.InvalidHeader: _LENGTHS,
    requests.RequestException: _NOT_VALID,
    urllib3.exceptions.LocationValueError: _NOT_VALID,  # a part of the name has over 63 letters
    urllib3.exceptions.HTTPError: 'the connection is lost',
    ValueError: _NOT_VALID,
}
_Result = TypeVar('_Result')


def within(seconds: float, function: Callable[[], _Result]) -> _Result:
    """Returns the result of a function; raises DownloadError if it takes longer.

    Runs it in a daemon thread that is abandoned after that time, because the time-outs of a
    connection restart with every byte that arrives and with every redirect.
    """
    result: concurrent.futures.Future[_Result] = concurrent.futures.Future()

    def work() -> None:
        try:
            result.set_result(function())
        except Exception as error:  # raised again in the caller's thread
            result.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return result.result(timeout=seconds)
    except concurrent.futures.TimeoutError:
        raise DownloadError(f'the server takes longer than {seconds:g} seconds') from None


@contextlib.contextmanager
def get(
    url: str, headers: Mapping[str, str] | None = None, *, timeout: tuple[float, float] = _TIMEOUT
) -> Iterator[requests.Response]:
    """Sends a GET request; the body is read from `response.raw`.

    Raises:
        DownloadError: there is no response, or reading the body fails in the `with` block.
    """
    try:
        with within(
            _ANSWER_SECONDS,
            lambda: requests.get(
                url,
                headers=headers,
                stream=True,
                timeout=timeout,
                hooks={'response': _remove_body_of_redirect},
            ),
        ) as response:
            yield response
    except tuple(_MESSAGES) as error:
        kind = next(kind for kind in _MESSAGES if isinstance(error, kind))
        message = _MESSAGES[kind]
        permanent = kind == requests.exceptions.SSLError or message in (_NOT_VALID, _LENGTHS)
        # Without its cause, whose message has the query of the URL and may be logged.
        raise DownloadError(message + _detail(error), retryable=not permanent) from None


def _remove_body_of_redirect(response: requests.Response, **_: Any) -> None:
    """Requests would read it into memory, decompressed and without a limit."""
    if response.is_redirect:
        response.raw.close()
        response.raw = urllib3.HTTPResponse(io.BytesIO())


def require_success(response: requests.Response) -> None:
    """Raises DownloadError for a status that is an error."""
    if not response.ok:
        raise DownloadError(_answer(response), retryable=response.status_code in _BUSY)


def download(
    url: str, partial: Path, known: Mapping[str, str], *, verified: bool = False
) -> dict[str, str] | None:
    """Downloads to a new file, with retries; resumes a transfer if the file has not changed.

    `known` has the ETag and Last-Modified of an earlier copy, if there is one; then there are no
    retries until the transfer starts. Returns those of the new file; None if the copy is current.
    Unless the digest of the file is `verified`, the server has to state where it ends.

    Raises:
        DownloadError: the server does not send the file, is too slow, or sends too much.
        OSError: the file cannot be written.
    """
    validators: dict[str, str] = {}  # of the partial file
    failures = most = 0
    while True:
        try:
            done = _transfer(url, partial, known, validators, verified=verified)
            return validators if done else None
        except DownloadError as error:
            received = partial.stat().st_size if partial.exists() else 0
            failures = 1 if received >= most + _PROGRESS else failures + 1
            most = max(most, received)
            if not error.retryable or failures > _RETRIES or (known and not received):
                raise
            time.sleep(_BACKOFF * 2 ** (failures - 1))


def _transfer(
    url: str,
    partial: Path,
    known: Mapping[str, str],
    validators: dict[str, str],
    *,
    verified: bool,
) -> bool:
    """Receives the file, or the rest of it; returns False if the earlier copy is up to date."""
    # A weak ETag does not identify the bytes, RFC 9110 13.1.5.
    strong = [each for each in validators.values() if not each.startswith('W/')]
    have = partial.stat().st_size if strong and partial.exists() else 0
    if have:
        headers = {'Range': f'bytes={have}-', 'If-Range': strong[0]}
    else:
        headers = {header: known[key] for key, header in _CONDITIONS.items() if key in known}
    # Identity: some servers call a tar.gz a gzip-encoded tar.
    with get(url, {'Accept-Encoding': 'identity', **headers}) as response:
        content_range = response.headers.get('Content-Range', '')
        if response.status_code in (206, 416) and not content_range.startswith(f'bytes {have}-'):
            partial.unlink(missing_ok=True)
            raise DownloadError('the server cannot resume the transfer', retryable=True)
        require_success(response)
        if response.status_code == 304 and known and not have:
            return False
        if response.status_code not in ((200, 206) if have else (200,)):
            raise DownloadError(_answer(response))
        if response.status_code != 206:
            have = 0
            validators.clear()
            validators |= {k: response.headers[k] for k in _CONDITIONS if k in response.headers}
        stated = _stated_length(response, verified=verified)
        most = _require_room(partial.parent, stated)
        total = math.ceil((have + stated) / MEGABYTE) if stated is not None else None
        received = 0
        with (
            partial.open('ab' if have else 'wb') as file,
            console.bar('fetching, MB', total) as bar,
        ):
            bar.advance(have // MEGABYTE)
            for chunk in _chunks(response):
                received += len(chunk)
                if received > most:
                    raise DownloadError(
                        f'the server sends more than {most / MEGABYTE:,.0f} MB, without a length'
                    )
                before, have = have, have + file.write(chunk)
                bar.advance(math.ceil(have / MEGABYTE) - math.ceil(before / MEGABYTE))
    return True


def _answer(response: requests.Response) -> str:
    return f'the server answers {response.status_code} {response.reason[:100]}'


def _stated_length(response: requests.Response, *, verified: bool) -> int | None:
    """The bytes that the server announces, None for a chunked response."""
    length = response.headers.get('Content-Length')
    if response.headers.get('Transfer-Encoding', '').lower() == 'chunked':
        return None
    if length is None and verified:
        return None
    if length is None:
        raise DownloadError(
            'the server does not state its length, so it may be cut off; set data.sha256'
        )
    if not _LENGTH.fullmatch(length):
        raise DownloadError(_LENGTHS)
    return int(length)


def _require_room(folder: Path, stated: int | None) -> int:
    """The most bytes to receive; raises DownloadError if the stated ones do not fit on the disk."""
    room = int(_SHARE_OF_DISK * shutil.disk_usage(folder).free)
    if stated is None:
        return min(_MOST_UNSTATED, room)
    if stated > room:
        raise DownloadError(
            f'it has {stated / MEGABYTE:,.0f} MB, and the disk of {folder} has '
            f'{room / MEGABYTE:,.0f} MB for it; CATDOG_CACHE names another folder'
        )
    return stated


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """Yields the body; raises DownloadError if a megabyte takes too long."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # already closed
            response.raw.shutdown()

    received = MEGABYTE
    try:
        while received >= MEGABYTE:
            received = 0
            timer = threading.Timer(_SECONDS_PER_MEGABYTE, stop)
            timer.daemon = True
            timer.start()
            try:
                while received < MEGABYTE and (
                    chunk := response.raw.read1(CHUNK, decode_content=False)
                ):
                    received += len(chunk)
                    yield chunk
            finally:
                timer.cancel()
    except urllib3.exceptions.HTTPError:
        if not late.is_set():
            raise
    if late.is_set():
        raise DownloadError(f'the server takes over {_SECONDS_PER_MEGABYTE:g} seconds for a MB')


def _detail(error: BaseException) -> str:
    """The system's message for the cause, in parentheses."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f' ({error.strerror})' if isinstance(error, OSError) and error.strerror else ''
