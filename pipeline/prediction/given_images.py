"""Images that a person names: files, folders, addresses, standard input. Imports no TensorFlow."""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from common.errors import DownloadError, Rejected
from components.image_example_gen.sources.archive.download import shown
from components.image_example_gen.sources.archive.transfer import CHUNK, get, require_success
from components.image_example_gen.sources.base.config import URL
from components.image_example_gen.sources.base.image_files import IMAGE_SUFFIXES, files_in
from components.image_example_gen.sources.base.members import (
    read_within,
    require_within,
    told,
)

STANDARD_INPUT = '-'
_TIMEOUT = (10, 20)  # seconds to connect, and between two pieces
_WHOLE = 60  # seconds that an image may take


class Given(NamedTuple):
    """An image as it came.

    Attributes:
        path: where from, as it can be printed.
        contents: bytes of a file.
        problem: why there are none, in one clause; None if there are.
    """

    path: str
    contents: bytes = b''
    problem: str | None = None


def read_given(arguments: Iterable[str], max_bytes: int) -> Iterator[Given]:
    """Reads one image after the other; what cannot be read comes with its problem.

    Args:
        arguments: files, folders with images at any depth, addresses on the web, or `-` for the
            bytes of an image on standard input.
        max_bytes: of an image; of a longer one no more is read.
    """
    for argument in arguments:
        if argument == STANDARD_INPUT:
            yield _given('standard input', lambda: _of_file(0, max_bytes))
        elif URL.match(argument):
            yield _given(shown(argument), lambda: _of_web(argument, max_bytes))  # noqa: B023
        elif Path(argument).is_dir():
            yield from _of_folder(Path(argument), max_bytes)
        else:
            yield _given(argument, lambda: _of_file(argument, max_bytes))  # noqa: B023


def _given(path: str | Path, read: Callable[[], bytes]) -> Given:
    printed = os.fsencode(path).decode(errors='replace')
    try:
        return Given(printed, read())
    except DownloadError as error:
        return Given(printed, problem=f'it cannot be fetched: {error}')
    except Rejected as error:
        return Given(printed, problem=str(error))
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        return Given(printed, problem=f'it cannot be read: {told(error)}')


def _of_file(file: str | Path | int, max_bytes: int) -> bytes:
    with open(file, 'rb', closefd=file != 0) as opened:  # 0 is standard input
        return read_within(max_bytes, os.fstat(opened.fileno()).st_size, opened)


def _of_folder(folder: Path, max_bytes: int) -> Iterator[Given]:
    found = False
    try:
        for file in files_in(folder, IMAGE_SUFFIXES):
            found = True
            yield _given(file, lambda: _of_file(file, max_bytes))  # noqa: B023
    except OSError as error:
        yield Given(str(error.filename or folder), problem=f'it cannot be read: {told(error)}')
        return
    if not found:
        yield Given(str(folder), problem='it holds no images')


def _of_web(url: str, max_bytes: int) -> bytes:
    """The file at an address; nobody waits longer than a minute for it.

    In a thread that is left alone then: the time-outs of a connection begin anew with each byte of
    a header, and with each redirection.
    """
    done: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            done.put(_fetched(url, max_bytes))
        except Exception as error:  # raised below, where it is waited for
            done.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        found = done.get(timeout=_WHOLE)
    except queue.Empty:
        raise _too_slow() from None
    if isinstance(found, Exception):
        raise found
    return found


def _fetched(url: str, max_bytes: int) -> bytes:
    until = time.monotonic() + _WHOLE
    received = bytearray()
    with get(url, timeout=_TIMEOUT) as response:
        require_success(response)
        length = response.headers.get('Content-Length', '')
        require_within(max_bytes, int(length) if length.isdecimal() else 0)
        while piece := response.raw.read1(CHUNK, decode_content=True):
            received += piece
            require_within(max_bytes, len(received))
            if time.monotonic() > until:
                raise _too_slow()  # ends the thread
    return bytes(received)


def _too_slow() -> DownloadError:
    return DownloadError(f'the server takes longer than {_WHOLE} seconds')
