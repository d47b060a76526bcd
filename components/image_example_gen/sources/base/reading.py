"""Reads image files up to a size limit, and converts errors."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from common.errors import DataError, Rejected
from common.files import MEGABYTE, open_regular

READ_ERRORS = (OSError, ValueError)  # a name with a null byte is a ValueError


def require_within(limit: int, size: int) -> None:
    """Raises Rejected if a size is above the limit, both in bytes."""
    if size > limit:
        detail = f'it has {size / MEGABYTE:,.1f} MB; the limit is {limit / MEGABYTE:g} MB'
        raise Rejected('too large', detail)


def read_file(file: str | Path | int, limit: int) -> bytes:
    """Reads a regular file, or standard input for 0.

    A file that states no bytes is not read: those of /proc do, and some wait for ever. Raises
    Rejected if it has more bytes than `limit`, and OSError if it cannot be read.
    """
    with open(file, 'rb', closefd=False) if isinstance(file, int) else open_regular(file) as opened:
        size = os.fstat(opened.fileno()).st_size  # 0 for a pipe
        require_within(limit, size)
        contents = opened.read(limit + 1) if size or isinstance(file, int) else b''
    require_within(limit, len(contents))
    return contents


@contextlib.contextmanager
def convert_os_errors() -> Iterator[None]:
    """Converts an OSError to a DataError that names the file or folder."""
    try:
        yield
    except OSError as error:
        where = f'{error.filename} ' if error.filename else 'the images '
        raise DataError(f'{where}cannot be read: {error.strerror or error}') from error


def error_text(error: BaseException) -> str:
    """The message of an error, without the number and the path that an OSError adds."""
    return getattr(error, 'strerror', None) or str(error) or type(error).__name__
