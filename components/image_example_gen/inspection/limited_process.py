"""Worker processes with limits of memory and CPU time, for files that are not trusted.

Decoders allocate what a file asks for, take as long as it asks for, and may crash. A server process
imports a module and forks workers, so a dead one is replaced in milliseconds. All end with the
process that uses them. Does not import TensorFlow.
"""

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import components
from common.errors import CallFailed, DataError, WorkerDied
from common.files import MEGABYTE
from components.image_example_gen.inspection import worker_server
from components.image_example_gen.inspection.worker_server import receive, send

_ENVIRONMENT = {
    # Address space that is reserved for threads and freed memory counts as well.
    'ARROW_DEFAULT_MEMORY_POOL': 'system',
    'CUDA_VISIBLE_DEVICES': '-1',
    'MALLOC_ARENA_MAX': '1',
    'OPENBLAS_NUM_THREADS': '1',
    'TF_CPP_MIN_LOG_LEVEL': '2',
    'TF_ENABLE_ONEDNN_OPTS': '0',  # its allocator keeps freed memory
}
_Parameters = ParamSpec('_Parameters')
_Answer = TypeVar('_Answer')


class Limits(NamedTuple):
    """Limits of a call."""

    seconds: int  # of CPU time
    megabytes: int = 600  # of address space, besides that of the idle worker

    @classmethod
    def for_file(cls, file: Path) -> 'Limits':
        """Limits that grow with a file, so that a small one takes neither long nor much memory."""
        size = file.stat().st_size // MEGABYTE if file.exists() else 0
        return cls(60 + size, min(400 + 4 * size, 1400))


class Worker:
    """A worker process, which is replaced if it dies; used by one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._process = 0  # of the operating system; 0 until it has started
        self.is_lost = False  # as its server has ended

    def send(self, *request: object) -> None:
        """Sends the arguments of `answers`, a function of the module; waits until it is imported.

        Raises DataError if the worker cannot be started.
        """
        try:
            self._process = self._process or receive(self._connection)
        except (EOFError, ConnectionResetError, WorkerDied):
            self.is_lost = True
            raise DataError('worker processes cannot be started') from None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # as `receive` reports
            send(self._connection, request)

    def receive(self) -> Any:
        """Waits for the next answer; None follows the last one. Raises WorkerDied."""
        try:
            return receive(self._connection)
        except (EOFError, ConnectionResetError):
            self.is_lost, self._process = True, 0
            raise WorkerDied(signal.SIGKILL) from None
        except WorkerDied:
            self._process = 0
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._connection.send(worker_server.DIED)  # ends the request
            raise

    def interrupt(self) -> None:
        """Ends the process, and with it the present request."""
        with contextlib.suppress(WorkerDied):
            if self._process:
                os.kill(self._process, signal.SIGKILL)
            while self._process:
                self.receive()


def start_workers(module: str, number: int) -> list[Worker]:
    """Starts a server that imports `module`, and workers that call its `prepare` and `answers`."""
    pairs = [socket.socketpair(type=socket.SOCK_SEQPACKET) for _ in range(number)]
    descriptors = [theirs.fileno() for _, theirs in pairs]
    server = subprocess.Popen(
        [sys.executable, '-m', worker_server.__name__, module, *map(str, descriptors)],
        cwd=Path(components.__path__[0]).parent,  # `-m` finds the packages there
        env={**os.environ, **_ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        start_new_session=True,  # Ctrl-C concerns the process that uses it
    )
    _servers[server] = [ours for ours, _ in pairs]
    for _, theirs in pairs:
        theirs.close()
    return [Worker(ours) for ours, _ in pairs]


_servers: dict[subprocess.Popen[bytes], list[socket.socket]] = {}
_idle: list[Worker] = []  # wait for a call, as a start with an import takes a third of a second


@atexit.register
def end_servers() -> None:
    """Ends all worker processes of this one, and frees their memory. No thread may use one."""
    for server in _servers:
        server.kill()
        server.wait()
    _forget_servers()


def _forget_servers() -> None:
    for server, connections in _servers.items():
        assert server.stdin
        server.stdin.close()
        for each in connections:
            each.close()
        server.returncode = 0  # after a fork it is no child of this process
    _servers.clear()
    _idle.clear()


os.register_at_fork(after_in_child=_forget_servers)


def call(
    limits: Limits,
    function: Callable[_Parameters, Iterator[_Answer] | None],
    *args: _Parameters.args,
    **kwargs: _Parameters.kwargs,
) -> Iterator[_Answer]:
    """Yields the results of a function, if it has any; thread-safe.

    The function, its arguments and its results are pickled; a result is neither None nor a text.

    Raises:
        DataError: the function raises it.
        CallFailed: it raises another error, exceeds a limit, or crashes.
    """
    try:
        worker = _idle.pop()
    except IndexError:
        (worker,) = start_workers(__name__, 1)
    try:
        worker.send(limits, function, args, kwargs)
        while (answer := worker.receive()) is not None:
            if isinstance(answer, DataError):
                raise answer
            if isinstance(answer, str):
                raise CallFailed(answer)
            yield answer
    except WorkerDied as died:
        if died.signal == signal.SIGXCPU:
            problem = f'it takes longer than {limits.seconds} s'
        else:  # some decoders end the process if there is no memory
            problem = f'its decoder crashes ({died.signal}) with {limits.megabytes:,} MB of memory'
        raise CallFailed(problem) from None
    except BaseException:
        worker.interrupt()
        raise
    finally:
        if not worker.is_lost:
            _idle.append(worker)


def answers(
    limits: Limits, function: Callable[..., Iterator[Any] | None], args: Any, kwargs: Any
) -> Iterator[Any]:
    """Calls a function in a worker; yields its results, then an error: DataError or a text."""
    worker_server.limit(*limits)
    try:
        yield from function(*args, **kwargs) or ()
    except DataError as error:
        yield error
    except MemoryError:
        yield f'it needs more than {limits.megabytes:,} MB of memory'
    except Exception as error:  # pyarrow and Pillow raise nearly any
        yield str(error).strip().partition('\n')[0].rstrip(':')[:200] or type(error).__name__


prepare = worker_server.set_idle_size
