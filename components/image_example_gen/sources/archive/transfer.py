"""One file from a web server into a file, in as many attempts as it takes."""

import errno
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import requests

from common import console
from common.errors import DownloadError
from common.files import MEGABYTE

CHUNK = 2**16  # bytes; what is left of one when a connection is cut is fetched again
_TIMEOUT = (10, 60)  # seconds to connect, and between two pieces
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_CONDITIONS = {'ETag': 'If-None-Match', 'Last-Modified': 'If-Modified-Since'}
_SAID = (*_CONDITIONS, 'Content-Length')  # what tells versions of a file apart


FAILED = (DownloadError, requests.RequestException)
_HOPELESS = (
    requests.exceptions.SSLError,
    requests.exceptions.TooManyRedirects,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
)
_WORDS = {
    requests.exceptions.SSLError: 'no safe connection can be made',
    requests.exceptions.TooManyRedirects: 'the server sends us round in circles',
    requests.exceptions.InvalidURL: 'the address is not valid',
    requests.exceptions.InvalidSchema: 'the address leads to one that is not of the web',
    requests.exceptions.Timeout: 'the server does not answer in time',
    requests.exceptions.ConnectionError: 'the server cannot be reached',
}


class Transfer:
    """The attempts to get one file; each goes on where the last was cut off, if the server can.

    Args:
        url: where from.
        partial: where to; there is no such file before.
        known: what the server said of the copy that there is: ETag, Last-Modified, Content-Length.
    """

    def __init__(self, url: str, partial: Path, known: Mapping[str, str]) -> None:
        self._url, self._partial = url, partial
        self.known = known
        self._said: dict[str, str] = {}

    @property
    def arrived(self) -> int | None:
        """Bytes of a new file; None if there was no answer with one yet."""
        return self._partial.stat().st_size if self._partial.exists() else None

    def attempt(self) -> dict[str, str] | None:
        """Fetches the file, or the rest of it.

        Returns:
            What the server says of it, for the next time; None if it is as it was.

        Raises:
            DownloadError: there is no file, or not all of it.
            requests.RequestException: the connection failed; another attempt may succeed.
            OSError: the file cannot be written.
        """
        have = self.arrived or 0
        try:
            response = requests.get(
                self._url, headers=self._headers(have), stream=True, timeout=_TIMEOUT
            )
        except _HOPELESS as error:
            raise DownloadError(reason_of(error)) from error
        with response:
            if response.status_code == 304 or (not have and self._is_known(response)):
                return None
            self._require_success(response, have)
            if response.status_code != 206:
                have = 0
                self._said = {
                    key: response.headers[key] for key in _SAID if key in response.headers
                }
            self._receive(response, have)
        return self._said

    def _headers(self, have: int) -> dict[str, str]:
        headers = {'Accept-Encoding': 'identity'}  # lengths count bytes of the file
        if have:
            headers['Range'] = f'bytes={have}-'
            for key in _CONDITIONS:
                value = self._said.get(key, 'W/')
                if not value.startswith('W/'):  # a weak ETag is not for this, RFC 9110 13.1.5
                    return {**headers, 'If-Range': value}
            return headers
        conditions = {_CONDITIONS[key]: self.known[key] for key in _CONDITIONS if key in self.known}
        return headers | conditions

    def _is_known(self, response: requests.Response) -> bool:
        """Whether a server that answers with the file although it was asked has nothing new."""
        both = [key for key in _SAID if key in self.known and key in response.headers]
        same = all(self.known[key] == response.headers[key] for key in both)
        return response.status_code == 200 and bool(both) and same

    def _require_success(self, response: requests.Response, have: int) -> None:
        status = response.status_code
        answer = f'the server answers {status} {response.reason}'
        if status == 416 or (status == 206 and not _continues(response, have)):
            self._partial.unlink(missing_ok=True)
            raise DownloadError('the server has nothing from there on', retryable=True)
        if status in _BUSY:
            raise DownloadError(answer, retryable=True)
        if not response.ok:
            raise DownloadError(answer)

    def _receive(self, response: requests.Response, have: int) -> None:
        # Some servers call a tar.gz a gzip-encoded tar; it would arrive unpacked.
        response.raw.headers.pop('Content-Encoding', None)
        length = response.headers.get('Content-Length')
        total = have + int(length) if length and length.isdecimal() else None
        if total and shutil.disk_usage(self._partial.parent).free < total - have:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        megabytes = math.ceil(total / MEGABYTE) if total else None
        with (
            self._partial.open('ab' if have else 'wb') as file,
            console.bar('fetching, MB', megabytes) as bar,
        ):
            bar.advance(have // MEGABYTE)
            for chunk in response.iter_content(CHUNK):
                before, have = have, have + file.write(chunk)
                bar.advance(math.ceil(have / MEGABYTE) - math.ceil(before / MEGABYTE))
        if total and have != total:
            raise DownloadError('the server hangs up before the end', retryable=True)


def reason_of(error: BaseException) -> str:
    """What went wrong, in words; never the address, which may hold a password."""
    if isinstance(error, DownloadError):
        return str(error)
    lost = 'the connection is lost'
    words = next((words for kind, words in _WORDS.items() if isinstance(error, kind)), lost)
    while inner := error.__cause__ or error.__context__:
        error = inner
    detail = error.strerror if isinstance(error, OSError) else None
    return f'{words} ({detail})' if detail else words


def _continues(response: requests.Response, have: int) -> bool:
    return response.headers.get('Content-Range', '').startswith(f'bytes {have}-')
