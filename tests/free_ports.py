"""Ports for programs that do not report the port they bind, and addresses that refuse."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_ATTEMPTS = 5
_SECONDS = 200  # until a program is ready; decides only how long a failure takes


def free_port() -> int:
    """A port that no program uses now; another one may take it before it is bound."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections: it is bound, so that no program takes it, and not open."""
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        yield server.getsockname()[1]


def start_on_free_port(
    start: Callable[[int], subprocess.Popen], ready: Callable[[int], bool], log: Path
) -> tuple[subprocess.Popen, int]:
    """Starts a program and waits until it is ready; returns the process and its port.

    If it ends before, another program may have taken the port, and it is started on another one.
    """
    for _ in range(_ATTEMPTS):
        port = free_port()
        process, end = start(port), time.monotonic() + _SECONDS
        while process.poll() is None and time.monotonic() < end:
            if ready(port):
                return process, port
            time.sleep(0.05)
        if process.poll() is None:
            process.kill()
            process.wait()
            break
    raise AssertionError(f'{process.args} is not ready: {log.read_text()}')
