"""Keeps what the libraries print away from the person, in a file."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from common import console


@contextlib.contextmanager
def library_output_to(path: Path) -> Iterator[None]:
    """Sends the output of this process to a file, except for the console of `common.console`.

    The file descriptors themselves are redirected: C++ libraries and child processes write there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    person = os.fdopen(os.dup(saved[0]), 'w', encoding=sys.stdout.encoding)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    try:
        with person, console.output_to(person, path):
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
