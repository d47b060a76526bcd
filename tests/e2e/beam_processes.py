"""A pool of Beam workers, as on each machine of a cluster."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from free_ports import start_on_free_port

ROOT = Path(__file__).parents[2]


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(('127.0.0.1', port)) == 0


def wait_for(condition: Callable[[], Any], process: subprocess.Popen, log: Path) -> None:
    """Waits until a process is ready; fails with its log if it ends or takes two minutes."""
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


@contextmanager
def worker_pool(folder: Path, environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Starts workers that have `common`, `components` and `trainer`.

    Yields the pool's process and its port.
    """
    code = folder / 'code'
    code.mkdir()
    (code / 'pipeline.py').write_text("raise ImportError('pipeline is not on the workers')")
    environment = {**environment, 'PYTHONPATH': f'{code}:{ROOT}'}
    command = [sys.executable, '-m', 'components.beam_workers']

    def start(port: int) -> subprocess.Popen:
        words = [*command, f'--address=127.0.0.1:{port}']
        with (folder / 'workers.log').open('w') as log:
            return subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, env=environment)

    pool, port = start_on_free_port(start, listens, folder / 'workers.log')
    try:
        yield pool.pid, port
    finally:
        pool.terminate()
        pool.wait()
