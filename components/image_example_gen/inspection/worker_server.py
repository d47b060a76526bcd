"""The server that forks the workers of `limited_process`, their messages and their limits.

`python -m ... MODULE DESCRIPTORS` imports the module, and keeps a worker for each socket. The
sockets have packets (SOCK_SEQPACKET), so that a message of a worker that died ends nowhere else.
"""

import ctypes
import fcntl
import importlib
import os
import pickle
import resource
import select
import signal
import socket
import sys
import time
import types
from pathlib import Path
from typing import Any

from common.errors import WorkerDied
from common.files import MEGABYTE

_PR_SET_PDEATHSIG = 1
_PACKET = 2**16  # bytes of a part of a message
_PART, _END, DIED = b'+', b'.', b'!'  # first byte of a packet


def send(connection: socket.socket, message: object) -> None:
    """Sends a message, pickled, in packets."""
    data = memoryview(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
    for start in range(0, len(data), _PACKET):
        kind = _PART if start + _PACKET < len(data) else _END
        connection.sendmsg([kind, data[start : start + _PACKET]])


def receive(connection: socket.socket) -> Any:
    """Receives a message; raises EOFError, or WorkerDied if its sender died."""
    data = bytearray()
    while packet := connection.recv(1 + _PACKET):
        if packet[:1] == DIED:
            raise WorkerDied(packet[1])
        data += memoryview(packet)[1:]
        if packet[:1] == _END:
            return pickle.loads(data)
    raise EOFError


def limit(seconds: float, megabytes: float) -> None:
    """Limits this worker: CPU seconds from now, address space above that of the idle worker."""
    _set_limit(resource.RLIMIT_AS, _idle_size + int(megabytes * MEGABYTE))
    _set_limit(resource.RLIMIT_CPU, int(time.process_time() + seconds) + 1)


def no_limits() -> None:
    """Removes the limits of this worker."""
    _set_limit(resource.RLIMIT_AS, None)
    _set_limit(resource.RLIMIT_CPU, None)


def _set_limit(kind: int, value: int | None) -> None:
    _, hard = resource.getrlimit(kind)
    if value is None or resource.RLIM_INFINITY != hard < value:
        value = hard
    resource.setrlimit(kind, (value, hard))


def set_idle_size() -> None:
    """Takes the present address space as that of the idle worker."""
    global _idle_size
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    _idle_size = pages * resource.getpagesize()


_idle_size = 0


def serve(module: str, descriptors: list[int]) -> None:
    """Keeps a worker for each socket; a new one first sends what ended the one before."""
    # The end of standard input, of which the other end is in the process that started this one,
    # sends SIGIO to the server and its workers, which ends them.
    fcntl.fcntl(0, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(0, fcntl.F_SETFL, os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # it has ended before
        return
    importlib.import_module('tensorflow')  # temporary
    imported = importlib.import_module(module)
    connections = [socket.socket(fileno=each) for each in descriptors]
    running = {_fork(imported, each): each for each in connections}
    while True:
        process, status = os.wait()
        connection = running.pop(process)
        running[_fork(imported, connection, status)] = connection


def _fork(module: types.ModuleType, connection: socket.socket, status: int | None = None) -> int:
    """Forks a worker, which answers requests for ever; returns its process."""
    if process := os.fork():
        return process
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if status is not None:
        connection.send(DIED + bytes([max(0, -os.waitstatus_to_exitcode(status))]))
        # Skips the request that the dead worker did not answer, or not read to its end.
        while connection.recv(1 + _PACKET)[:1] not in (DIED, b''):
            pass
    module.prepare()
    send(connection, os.getpid())
    while True:
        no_limits()  # for the request
        for result in module.answers(*receive(connection)):
            send(connection, result)
        send(connection, None)


if __name__ == '__main__':
    # The same globals as those of the modules that import this one.
    module = importlib.import_module('components.image_example_gen.inspection.worker_server')
    module.serve(sys.argv[1], [int(each) for each in sys.argv[2:]])
