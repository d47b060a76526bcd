"""GET requests in a limited subprocess, whatever a server does.

A time-out of a connection restarts with every byte and with every redirect, a header or the body of
a redirect may have no end, and its bytes may fill the memory. So an alarm ends a request that is
slow, and the limit of the subprocess one that is large.
"""

import logging
import re
import signal
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import NamedTuple

import requests
import urllib3

from common.errors import CallFailed, DownloadError
from common.files import MEGABYTE
from components.image_example_gen.inspection.limited_process import Limits, call

_SECONDS = 100  # until the first megabyte, and for each further one
_LIMITS = Limits(3600, 500)
_TIMEOUT = (10, 60)  # seconds to connect, and between two bytes
_LENGTH = re.compile('[0-9]{1,18}')
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_NOT_VALID = 'the address, or a redirect, is not valid'
_MESSAGES: dict[type[Exception], str] = {
    requests.exceptions.SSLError: 'no safe connection can be made',
    requests.exceptions.Timeout: 'the server does not answer in time',
    requests.exceptions.InvalidHeader: 'the server states several lengths',
    requests.exceptions.ConnectionError: 'the server cannot be reached',
    urllib3.exceptions.LocationValueError: _NOT_VALID,  # a part of the name has over 63 letters
    urllib3.exceptions.HTTPError: 'the connection is lost',
    requests.RequestException: _NOT_VALID,
    ValueError: _NOT_VALID,
}
_LOST = ('the server cannot be reached', 'the connection is lost', 'in time')  # may be tried again


class Response(NamedTuple):
    """The head of a response; a body follows for status 200."""

    status: int
    length: int | None  # bytes of the body; None if the server does not state it
    is_chunked: bool  # its end is marked
    validators: dict[str, str]  # ETag and Last-Modified, for the next request


def get(
    url: str, validators: Mapping[str, str] | None = None, *, seconds: int | None = None
) -> Iterator[Response | bytes]:
    """Yields the head of a response, and its body in parts of about a megabyte.

    `validators` are those of an earlier response: the status is 304 if the file has not changed.
    `seconds` limits the whole request, instead of each megabyte.

    Raises DownloadError if the server does not send the file or is too slow.
    """
    try:
        yield from call(_LIMITS, receive, url, dict(validators or {}), seconds)
    except CallFailed:
        raise DownloadError('the response of the server is too large') from None


def receive(
    url: str, validators: Mapping[str, str], seconds: int | None
) -> Iterator[Response | bytes]:
    """Runs in the subprocess; see `get`."""
    logging.getLogger('urllib3').setLevel(logging.ERROR)  # its warnings have the complete URL
    limit = seconds or _SECONDS

    def stop(_: int, __: FrameType | None) -> None:
        what = 'a MB' if seconds is None else 'the file'
        raise DownloadError(f'the server takes over {limit:g} seconds for {what}', retryable=True)

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(limit)
    names = {'ETag': 'If-None-Match', 'Last-Modified': 'If-Modified-Since'}
    conditions = {names[name]: value for name, value in validators.items()}
    # Identity: some servers call a tar.gz a gzip-encoded tar.
    headers = {'Accept-Encoding': 'identity', **conditions}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            yield _head(response, names, has_conditions=bool(conditions))
            while chunk := response.raw.read(MEGABYTE, decode_content=seconds is not None):
                if seconds is None:
                    signal.alarm(limit)
                yield chunk
    except tuple(_MESSAGES) as error:
        message = next(text for kind, text in _MESSAGES.items() if isinstance(error, kind))
        # Without its cause, whose message has the query of the URL and may be logged.
        raise DownloadError(message + _detail(error), retryable=message.endswith(_LOST)) from None
    finally:
        signal.alarm(0)


def _head(
    response: requests.Response, names: Mapping[str, str], *, has_conditions: bool
) -> Response:
    status, length = response.status_code, response.headers.get('Content-Length')
    if status != 200 and not (status == 304 and has_conditions):
        problem = f'the server answers {status} {response.reason[:100]}'
        raise DownloadError(problem, retryable=status in _BUSY)
    if length is not None and not _LENGTH.fullmatch(length):
        raise DownloadError('the server states several lengths, or one that is no number')
    is_chunked = response.headers.get('Transfer-Encoding', '').lower() == 'chunked'
    found = {name: response.headers[name] for name in names if name in response.headers}
    return Response(
        status, None if is_chunked or length is None else int(length), is_chunked, found
    )


def _detail(error: BaseException) -> str:
    """The system's message for the cause, in parentheses."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f' ({error.strerror})' if isinstance(error, OSError) and error.strerror else ''
