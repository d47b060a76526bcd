"""Redirects the output of libraries to a log file."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from common import console


@contextlib.contextmanager
def library_output_to(path: Path) -> Iterator[None]:
    """Redirects stdout and stderr of this process to a file, except for `common.console`.

    Redirects the file descriptors, which C++ libraries and child processes write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(descriptor) for descriptor in (1, 2)]
    stream = console.output_stream()
    descriptor = saved[1] if stream is sys.stderr else saved[0]
    terminal = os.fdopen(os.dup(descriptor), 'w', encoding=stream.encoding, errors=stream.errors)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    try:
        with terminal, console.output_to(terminal, path):
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
