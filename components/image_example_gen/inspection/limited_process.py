"""Worker processes with limits of memory and CPU time, for files that are not trusted.

Decoders allocate what a file asks for, take as long as it asks for, and may crash. A server process
imports a module and forks workers, so a dead one is replaced in milliseconds. All end with the
process that uses them. Does not import TensorFlow.
"""

import atexit
import contextlib
import ctypes
import fcntl
import importlib
import os
import pickle
import resource
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import components
from common.errors import CallFailed, DataError
from common.files import MEGABYTE

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


class WorkerDied(Exception):
    """A worker ended before it had answered; `signal` is the one that ended it."""

    def __init__(self, ended_by: int) -> None:
        super().__init__(ended_by)
        self.signal = ended_by


class Worker:
    """A worker process, which is replaced if it dies; used by one thread at a time."""

    def __init__(self, connection: socket.socket, token: bytes) -> None:
        self._stream, self._token = connection.makefile('rwb'), token
        connection.close()  # the stream holds it
        self._process = 0  # of the operating system; 0 until it has started
        self.is_lost = False  # as its server has ended

    def send(self, *request: object) -> None:
        """Sends the arguments of `answers`, a function of the module; waits until it is imported.

        Raises DataError if it cannot be imported.
        """
        try:
            while not self._process:  # two may have died
                started = pickle.load(self._stream)
                self._process = 0 if isinstance(started, WorkerDied) else started
        except (EOFError, ConnectionResetError):
            self.is_lost = True
            raise DataError('worker processes cannot be started: their server ended') from None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # as `receive` reports
            pickle.dump(request, self._stream)
            self._stream.flush()

    def receive(self) -> Any:
        """Waits for the next answer; None follows the last one. Raises WorkerDied."""
        try:
            answer = pickle.load(self._stream)
        except (EOFError, ConnectionResetError, pickle.UnpicklingError):
            self.is_lost, answer = True, WorkerDied(signal.SIGKILL)
        if isinstance(answer, WorkerDied):
            self._process = 0
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._stream.write(self._token)
                self._stream.flush()
            raise answer
        return answer

    def interrupt(self) -> None:
        """Ends the process, and with it the present request."""
        with contextlib.suppress(WorkerDied):
            if self._process:
                os.kill(self._process, signal.SIGKILL)
            while self._process:
                self.receive()


def start_workers(module: str, number: int) -> list[Worker]:
    """Starts a server that imports `module`, and workers that call its `prepare` and `answers`."""
    pairs = [socket.socketpair() for _ in range(number)]
    descriptors = [theirs.fileno() for _, theirs in pairs]
    token = secrets.token_bytes(16)
    server = subprocess.Popen(
        [sys.executable, '-m', __name__, module, token.hex(), *map(str, descriptors)],
        cwd=Path(components.__path__[0]).parent,  # `-m` finds the packages there
        env={**os.environ, **_ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        start_new_session=True,  # Ctrl-C concerns the process that uses it
    )
    _servers.append(server)
    for _, theirs in pairs:
        theirs.close()
    return [Worker(ours, token) for ours, _ in pairs]


_servers: list[subprocess.Popen[bytes]] = []
_idle: list[Worker] = []  # wait for a call, as a start with an import takes a third of a second


@atexit.register
def end_servers() -> None:
    """Ends all worker processes of this one, and frees their memory. No thread may use one."""
    for server in _servers:
        server.kill()
        server.communicate()
    _servers.clear()
    _idle.clear()


def _leave_servers_to_the_parent() -> None:
    for server in _servers:
        assert server.stdin
        server.stdin.close()
        server.returncode = 0  # it is no child of this process
    _servers.clear()
    _idle.clear()


os.register_at_fork(after_in_child=_leave_servers_to_the_parent)


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
    limit(*limits)
    try:
        yield from function(*args, **kwargs) or ()
    except DataError as error:
        yield error
    except MemoryError:
        yield f'it needs more than {limits.megabytes:,} MB of memory'
    except Exception as error:  # pyarrow and Pillow raise nearly any
        yield str(error).strip().partition('\n')[0].rstrip(':')[:200] or type(error).__name__


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


def prepare() -> None:
    """Takes the present address space as that of the idle worker."""
    global _idle_size
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    _idle_size = pages * resource.getpagesize()


_idle_size = 0


def serve(module: str, token: bytes, descriptors: list[int]) -> None:
    """Keeps a worker for each socket, and sends there what ended it.

    The token follows the request that the dead worker did not answer, or not read to its end.
    """
    # The end of standard input, of which the other end is in the process that started this one,
    # sends SIGIO to the server and its workers, which ends them.
    fcntl.fcntl(0, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(0, fcntl.F_SETFL, os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # it has ended before
        return
    imported = importlib.import_module(module)
    connections = [socket.socket(fileno=each) for each in descriptors]
    running = {_fork(imported, each): each for each in connections}
    while True:
        process, status = os.wait()
        connection = running.pop(process)
        died = WorkerDied(-os.waitstatus_to_exitcode(status))
        connection.sendall(pickle.dumps(died))
        running[_fork(imported, connection, token)] = connection


def _fork(module: types.ModuleType, connection: socket.socket, token: bytes = b'') -> int:
    """Forks a worker, which skips up to the token, and answers requests for ever.

    Returns its process.
    """
    if process := os.fork():
        return process
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    module.prepare()
    skipped = b''
    while skipped != token:
        received = connection.recv(2**16) or os._exit(0)
        skipped = (skipped + received)[-len(token) :]
    with connection.makefile('rwb') as stream:
        pickle.dump(os.getpid(), stream)
        stream.flush()
        while True:
            no_limits()  # for the request
            for result in module.answers(*pickle.load(stream)):
                pickle.dump(result, stream)
                stream.flush()
            pickle.dump(None, stream)
            stream.flush()


if __name__ == '__main__':
    # The same globals as those of the modules that import this one.
    module = importlib.import_module('components.image_example_gen.inspection.limited_process')
    module.serve(sys.argv[1], bytes.fromhex(sys.argv[2]), [int(each) for each in sys.argv[3:]])
