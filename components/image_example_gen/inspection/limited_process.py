"""Worker processes with limits of memory and CPU time, for files that are not trusted.

Decoders allocate what a file asks for, take as long as it asks for, and may crash. A server process
imports TensorFlow and forks the workers, so that a new one imports nothing. All end with the
process that uses them, which need not import TensorFlow.
"""

import atexit
import contextlib
import ctypes
import importlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from common.errors import CallFailed, DataError, WorkerDied
from common.files import MEGABYTE

_PRELOADED = 'components.image_example_gen.inspection.decoding'  # imports TensorFlow
_ENVIRONMENT = {
    # Address space that is reserved for threads and freed memory counts as well.
    'ARROW_DEFAULT_MEMORY_POOL': 'system',
    'CUDA_VISIBLE_DEVICES': '-1',
    'MALLOC_ARENA_MAX': '1',
    'OPENBLAS_NUM_THREADS': '1',
    'TF_CPP_MIN_LOG_LEVEL': '2',
    'TF_ENABLE_ONEDNN_OPTS': '0',  # its allocator keeps freed memory
}
_PR_SET_PDEATHSIG = 1
_PAUSE = 0.2  # seconds in which the end of the server is seen, which ends its workers
_Parameters = ParamSpec('_Parameters')
_Answer = TypeVar('_Answer')


class Limits(NamedTuple):
    """Limits of a call."""

    seconds: float  # of CPU time
    megabytes: float = 600  # of address space, besides that of the idle worker

    @classmethod
    def for_file(cls, file: Path, most: int = 900) -> 'Limits':
        """Limits that grow with a file, so that a small one takes neither long nor much memory."""
        size = file.stat().st_size // MEGABYTE if file.exists() else 0
        return cls(60 + size, min(400 + 4 * size, most))  # Parquet has pages of some 100 MB


_lock = threading.Lock()
_server: tuple[subprocess.Popen[bytes], socket.socket] | None = None
_idle: list[Connection] = []  # to workers, which end when it is closed


def start_server() -> socket.socket:
    """Starts the server, unless it runs; returns the socket for new workers."""
    global _server
    with _lock:
        if _server and _server[0].poll() is None:
            return _server[1]
        _idle.clear()  # workers of a server that was killed
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, '-c', f'import {__name__} as module; module.serve()'],
                cwd=Path(__file__).parents[3],  # `-c` finds the packages there
                env={**os.environ, **_ENVIRONMENT},
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C concerns the process that uses it
            )
        _server = process, ours
        return ours


@atexit.register
def end_workers() -> None:
    """Ends the server and all workers, and frees their memory. No thread may use one."""
    if _server:
        _server[0].kill()
        _server[0].wait()
    _forget_server()


def _forget_server() -> None:
    global _server, _lock
    if _server:
        _server[0].returncode = 0  # after a fork it is no child of this process
        _server[1].close()
    _server, _lock = None, threading.Lock()
    _idle.clear()


os.register_at_fork(after_in_child=_forget_server)


def _worker() -> Connection:
    requests = start_server()
    with contextlib.suppress(IndexError):
        return _idle.pop()
    calls, theirs = Pipe()
    with theirs, contextlib.suppress(ConnectionError):  # `_results` reports it
        socket.send_fds(requests, [b'.'], [theirs.fileno()])
    return calls


def call(
    limits: Limits,
    function: Callable[_Parameters, Iterator[_Answer] | None],
    *args: _Parameters.args,
    **kwargs: _Parameters.kwargs,
) -> Iterator[_Answer]:
    """Starts a call in a worker; returns an iterator of the results, if any. Thread-safe.

    The function, its arguments and its results are pickled. To close the iterator ends the call.

    Raises:
        DataError: the function raises it.
        CallFailed: it raises another error, exceeds a limit, or crashes (WorkerDied).
    """
    worker = _worker()
    with contextlib.suppress(ConnectionError):
        worker.send((limits, function, args, kwargs))
    return _results(worker, limits)


def _results(worker: Connection, limits: Limits) -> Iterator[Any]:
    try:
        while isinstance(answer := worker.recv(), tuple):
            yield answer[0]
    except (EOFError, ConnectionError):
        raise _death(limits) from None
    _idle.append(worker)
    if answer:
        raise answer


def _death(limits: Limits) -> DataError:
    with contextlib.suppress(subprocess.TimeoutExpired):  # the server is running
        if _server:
            _server[0].wait(_PAUSE)
        return DataError('worker processes cannot be started, or were killed')
    most = f'{limits.seconds:g} s of CPU time or {limits.megabytes:,} MB of memory'
    return WorkerDied(f'it needs more than {most}, or crashes its decoder')


def serve() -> None:
    """Forks a worker for each pipe that standard input, a socket, receives."""
    module = importlib.import_module(_PRELOADED)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the operating system removes ended children
    with socket.socket(fileno=0) as requests:
        while descriptors := socket.recv_fds(requests, 1, 1)[1]:
            with Connection(descriptors[0]) as calls:
                if not os.fork():
                    try:
                        _work(calls, module.prepare)
                    finally:
                        os._exit(0)


def _work(calls: Connection, prepare: Callable[[], None]) -> None:
    global _idle_size
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # it ends with the server
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prepare()
    while True:
        # Earlier calls may have imported modules.
        _idle_size = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
        _answer(calls, *calls.recv())
        limit(None, None)  # for the next call


def _answer(
    calls: Connection, limits: Limits, function: Callable[..., Any], args: Any, kwargs: Any
) -> None:
    """Sends each result as a tuple, and then an error or None."""
    limit(*limits)
    error: DataError | None = None
    try:
        for result in function(*args, **kwargs) or ():
            calls.send((result,))
    except DataError as raised:
        error = raised
    except MemoryError:
        error = CallFailed(f'it needs more than {limits.megabytes:,} MB of memory')
    except Exception as raised:  # pyarrow and Pillow raise nearly any
        text = str(raised).strip().partition('\n')[0].rstrip(':')[:200]
        error = CallFailed(text or type(raised).__name__)
    calls.send(error)


_idle_size = 0  # bytes of the address space of an idle worker


def limit(seconds: float | None, megabytes: float | None) -> None:
    """Limits this worker: CPU seconds from now, address space besides that of the idle worker."""
    memory = None if megabytes is None else _idle_size + int(megabytes * MEGABYTE)
    time_limit = None if seconds is None else int(time.process_time() + seconds) + 1
    for kind, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, time_limit)):
        _, hard = resource.getrlimit(kind)
        if value is None or resource.RLIM_INFINITY != hard < value:
            value = hard
        resource.setrlimit(kind, (value, hard))
