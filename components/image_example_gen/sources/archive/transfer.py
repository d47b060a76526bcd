"""HTTP requests, and downloads that resume after an interruption."""

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests
import urllib3

from common import console
from common.errors import DownloadError
from common.files import MEGABYTE

logging.getLogger('urllib3').setLevel(logging.ERROR)  # its warnings have the complete URL
CHUNK = 2**16  # bytes
_RETRIES = 3  # without progress
_BACKOFF = 1.0  # seconds, doubled with each retry
_TIMEOUT = (10, 60)  # seconds to connect, and between two chunks
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_CONDITIONS = {'ETag': 'If-None-Match', 'Last-Modified': 'If-Modified-Since'}
_MESSAGES = {
    requests.exceptions.SSLError: 'no safe connection can be made',
    requests.exceptions.Timeout: 'the server does not answer in time',
    requests.exceptions.ConnectionError: 'the server cannot be reached',
    requests.RequestException: 'the address, or a redirect, is not valid',
    urllib3.exceptions.HTTPError: 'the connection is lost',
}


@contextlib.contextmanager
def get(
    url: str, headers: Mapping[str, str] | None = None, *, timeout: tuple[float, float] = _TIMEOUT
) -> Iterator[requests.Response]:
    """Sends a GET request; the body is read from `response.raw`.

    Raises:
        DownloadError: there is no response, or reading the body fails in the `with` block.
    """
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            yield response
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        kind = next(kind for kind in _MESSAGES if isinstance(error, kind))
        permanent = kind in (requests.exceptions.SSLError, requests.RequestException)
        # Without its cause, whose message has the query of the URL and may be logged.
        raise DownloadError(_MESSAGES[kind] + _detail(error), retryable=not permanent) from None


def require_success(response: requests.Response) -> None:
    """Raises DownloadError for a status that is an error."""
    if not response.ok:
        raise DownloadError(
            f'the server answers {response.status_code} {response.reason}',
            retryable=response.status_code in _BUSY,
        )


def download(url: str, partial: Path, known: Mapping[str, str]) -> dict[str, str] | None:
    """Downloads to a new file, with retries; resumes a transfer if the file has not changed.

    `known` has the ETag and Last-Modified of an earlier copy, if there is one; then there are no
    retries until the transfer starts. Returns those of the new file; None if the copy is current.

    Raises:
        DownloadError: the server does not send the file.
        OSError: the file cannot be written.
    """
    validators: dict[str, str] = {}  # of the partial file
    failures = most = 0
    while True:
        try:
            return validators if _transfer(url, partial, known, validators) else None
        except DownloadError as error:
            received = partial.stat().st_size if partial.exists() else 0
            failures = 1 if received > most else failures + 1
            most = max(most, received)
            if not error.retryable or failures > _RETRIES or (known and not received):
                raise
            time.sleep(_BACKOFF * 2 ** (failures - 1))


def _transfer(
    url: str, partial: Path, known: Mapping[str, str], validators: dict[str, str]
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
        if response.status_code == 304:
            return False
        if response.status_code != 206:
            have = 0
            validators.clear()
            validators |= {k: response.headers[k] for k in _CONDITIONS if k in response.headers}
        length = response.headers.get('Content-Length', '')
        total = math.ceil((have + int(length)) / MEGABYTE) if length.isdecimal() else None
        with (
            partial.open('ab' if have else 'wb') as file,
            console.bar('fetching, MB', total) as bar,
        ):
            bar.advance(have // MEGABYTE)
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                before, have = have, have + file.write(chunk)
                bar.advance(math.ceil(have / MEGABYTE) - math.ceil(before / MEGABYTE))
    return True


def _detail(error: BaseException) -> str:
    """The system's message for the cause, in parentheses."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f' ({error.strerror})' if isinstance(error, OSError) and error.strerror else ''
