"""Downloads over HTTP: retries, resumed transfers, and errors in one clause."""

import contextlib
import errno
import math
import os
import shutil
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
_RETRIES = 3  # without progress
_BACKOFF = 1.0  # seconds, doubled with each retry
_LONGEST_WAIT = 60  # seconds, whatever Retry-After says
_TIMEOUT = (10, 60)  # seconds to connect, and between two chunks
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_CONDITIONS = {'ETag': 'If-None-Match', 'Last-Modified': 'If-Modified-Since'}
_VALIDATORS = (*_CONDITIONS, 'Content-Length')  # what distinguishes versions of a file
_MESSAGES = {
    requests.exceptions.SSLError: 'no safe connection can be made',
    requests.exceptions.TooManyRedirects: 'there are too many redirects',
    requests.exceptions.InvalidURL: 'the address is not valid',
    requests.exceptions.InvalidSchema: 'it redirects to an address that is not http or https',
    requests.exceptions.Timeout: 'the server does not answer in time',
    requests.exceptions.ConnectionError: 'the server cannot be reached',
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
        retries: after a failed connection or the answer of a busy server.

    Raises:
        DownloadError: there is no answer, or reading the body fails in the `with` block.
    """
    retry = Retry(
        retries,
        other=0,  # such as certificates
        backoff_factor=_BACKOFF,
        status_forcelist=_BUSY,
        raise_on_status=False,
        retry_after_max=_LONGEST_WAIT,
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
    """Fetches a file; an interrupted transfer is resumed while there is progress.

    Args:
        url: http or https.
        partial: where to; the file does not exist.
        known: the validators of the copy at hand; empty if there is none. With a copy, the first
            failure counts.

    Returns:
        Its validators: ETag, Last-Modified and Content-Length; None if the copy is up to date.

    Raises:
        DownloadError: the server does not give it.
        OSError: the file cannot be written.
    """
    validators: dict[str, str] = {}
    failures = most = 0
    while True:
        have = _size(partial)
        try:
            headers = _resume(have, validators) if have else _conditions(known)
            with get(url, headers, retries=0 if known else _RETRIES) as response:
                if response.status_code == 304 or (not have and _is_unchanged(response, known)):
                    return None
                if not _continues(response, have):
                    partial.unlink()
                    raise _InterruptedError('the server cannot resume the transfer')
                require_success(response)
                if response.status_code != 206:
                    have = 0
                    validators = _validators_of(response)
                _receive(response, partial, have)
                return validators
        except _InterruptedError:
            failures = failures + 1 if _size(partial) <= most else 1
            most = max(most, _size(partial))
            if failures > _RETRIES:
                raise
            time.sleep(_BACKOFF * 2 ** (failures - 1))


def _size(partial: Path) -> int:
    return partial.stat().st_size if partial.exists() else 0


def _conditions(known: Mapping[str, str]) -> dict[str, str]:
    conditions = {_CONDITIONS[key]: known[key] for key in _CONDITIONS if key in known}
    return {'Accept-Encoding': 'identity', **conditions}


def _resume(have: int, validators: Mapping[str, str]) -> dict[str, str]:
    headers = {'Accept-Encoding': 'identity', 'Range': f'bytes={have}-'}
    # A weak ETag must not be used here, RFC 9110 13.1.5.
    strong = [each for each in map(validators.get, _CONDITIONS) if each and each[:2] != 'W/']
    return {**headers, 'If-Range': strong[0]} if strong else headers


def _validators_of(response: requests.Response) -> dict[str, str]:
    return {key: response.headers[key] for key in _VALIDATORS if key in response.headers}


def _is_unchanged(response: requests.Response, known: Mapping[str, str]) -> bool:
    """Compares the validators, for servers that ignore conditions."""
    new = _validators_of(response)
    both = [key for key in new if key in known]
    return response.status_code == 200 and bool(both) and all(new[k] == known[k] for k in both)


def _continues(response: requests.Response, have: int) -> bool:
    """Whether the answer to a resumed transfer is the rest of the file, or all of it."""
    if response.status_code == 206:
        return response.headers.get('Content-Range', '').startswith(f'bytes {have}-')
    return response.status_code != 416


def _receive(response: requests.Response, partial: Path, have: int) -> None:
    length = response.headers.get('Content-Length', '')
    total = have + int(length) if length.isdecimal() else None
    if total and shutil.disk_usage(partial.parent).free < total - have:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    megabytes = math.ceil(total / MEGABYTE) if total else None
    with (
        partial.open('ab' if have else 'wb') as file,
        console.bar('fetching, MB', megabytes) as bar,
    ):
        bar.advance(have // MEGABYTE)
        # Some servers call a tar.gz a gzip-encoded tar: it stays compressed.
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            before, have = have, have + file.write(chunk)
            bar.advance(math.ceil(have / MEGABYTE) - math.ceil(before / MEGABYTE))


def _describe(error: BaseException) -> str:
    message = next((text for kind, text in _MESSAGES.items() if isinstance(error, kind)), None)
    while inner := error.__cause__ or error.__context__:
        error = inner
    detail = error.strerror if isinstance(error, OSError) else None
    message = message or 'the connection is lost'
    return f'{message} ({detail})' if detail else message
