"""Appends to and reads files of JSON lines that stay readable if a process is killed."""

import os
from pathlib import Path

from common.files import naming, open_regular


def append_line(path: Path, line: str) -> None:
    """Appends a line in one write; a crash leaves at most one truncated line.

    Raises:
        OSError: the file cannot be written.
    """
    line += '\n'
    with naming(path), path.open('a+b') as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b'\n':
                line = '\n' + line  # the previous line is truncated
        file.write(line.encode())


def read_lines(path: Path, limit: int) -> list[bytes]:
    """Reads the complete lines in the last `limit` bytes; none if there is no file.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return []
    with file:
        start = max(0, file.seek(0, os.SEEK_END) - limit)
        file.seek(start)
        lines = file.read().splitlines()
    return lines[1:] if start else lines
