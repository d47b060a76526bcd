"""HTTP requests with retries, and downloads that resume after an interruption."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from common import console
from common.errors import DownloadError
from common.files import MEGABYTE

CHUNK = 2**16  # bytes
_RETRIES = 3  # of a request without a response
_ATTEMPTS = 10  # of a transfer that is interrupted
_BACKOFF = 1.0  # seconds, doubled with each retry
_MAX_WAIT = 60  # seconds, also if Retry-After is longer
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


class _InterruptedError(DownloadError):
    """The connection was lost while the body was read."""


@contextlib.contextmanager
def get(
    url: str,
    headers: Mapping[str, str] | None = None,
    *,
    timeout: tuple[float, float] = _TIMEOUT,
    retries: int = 0,
) -> Iterator[requests.Response]:
    """Sends a GET request; the body is read from `response.raw`.

    Args:
        url: http or https.
        headers: of the request.
        timeout: seconds to connect, and between two chunks.
        retries: after a failed connection or the response of a busy server.

    Raises:
        DownloadError: there is no response, or reading the body fails in the `with` block.
    """
    retry = Retry(
        retries,
        other=0,  # such as certificates
        backoff_factor=_BACKOFF,
        status_forcelist=_BUSY,
        raise_on_status=False,
        retry_after_max=_MAX_WAIT,
    )
    with requests.Session() as session:
        for scheme in ('http://', 'https://'):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        try:
            with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
                yield response
        except requests.RequestException as error:
            raise DownloadError(_describe(error)) from error
        except urllib3.exceptions.HTTPError as error:
            raise _InterruptedError(_describe(error)) from error


def require_success(response: requests.Response) -> None:
    """Raises DownloadError for a status that is an error."""
    if not response.ok:
        raise DownloadError(f'the server answers {response.status_code} {response.reason}')


def download(url: str, partial: Path, known: Mapping[str, str]) -> dict[str, str] | None:
    """Downloads to a new file; resumes an interrupted transfer if the file has not changed.

    Args:
        url: http or https.
        partial: the new file.
        known: ETag and Last-Modified of an earlier copy; empty if there is none.

    Returns:
        ETag and Last-Modified, if the server sends them; None if the copy is up to date.

    Raises:
        DownloadError: the server does not send the file.
        OSError: the file cannot be written.
    """
    validators: dict[str, str] = {}  # of the partial file
    attempt = 1
    while True:
        try:
            return validators if _transfer(url, partial, known, validators) else None
        except _InterruptedError:
            if attempt == _ATTEMPTS:
                raise
            time.sleep(min(_BACKOFF * 2**attempt, _MAX_WAIT))
            attempt += 1


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
    headers['Accept-Encoding'] = 'identity'
    # With a copy, the first failure counts.
    with get(url, headers, retries=0 if known else _RETRIES) as response:
        require_success(response)
        if response.status_code == 304:
            return False
        if response.status_code != 206:
            have = 0
            validators.clear()
            validators |= {k: response.headers[k] for k in _CONDITIONS if k in response.headers}
        elif not response.headers.get('Content-Range', '').startswith(f'bytes {have}-'):
            partial.unlink()
            raise _InterruptedError('the server cannot resume the transfer')
        _receive(response, partial, have)
    return True


def _receive(response: requests.Response, partial: Path, have: int) -> None:
    length = response.headers.get('Content-Length', '')
    total = math.ceil((have + int(length)) / MEGABYTE) if length.isdecimal() else None
    with partial.open('ab' if have else 'wb') as file, console.bar('fetching, MB', total) as bar:
        bar.advance(have // MEGABYTE)
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            before, have = have, have + file.write(chunk)
            bar.advance(math.ceil(have / MEGABYTE) - math.ceil(before / MEGABYTE))


def _describe(error: BaseException) -> str:
    message = next(text for kind, text in _MESSAGES.items() if isinstance(error, kind))
    while inner := error.__cause__ or error.__context__:
        error = inner
    detail = error.strerror if isinstance(error, OSError) else None
    return f'{message} ({detail})' if detail else message
