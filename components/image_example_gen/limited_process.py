"""Calls functions in a subprocess with limits of memory and CPU time.

For decoders that allocate what a file asks for or may crash, and for regular expressions, which may
take exponential time. Does not import TensorFlow.
"""

import atexit
import contextlib
import functools
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, ParamSpec, TypeVar

import components
from common.errors import CallFailed, DataError
from common.files import MEGABYTE

_ENVIRONMENT = {
    # Address space that is reserved for threads and freed memory counts as well.
    'ARROW_DEFAULT_MEMORY_POOL': 'system',
    'MALLOC_ARENA_MAX': '1',
    'OPENBLAS_NUM_THREADS': '1',
}
_Process = subprocess.Popen[bytes]
_Parameters = ParamSpec('_Parameters')
_Answer = TypeVar('_Answer')

# Processes that wait for a call, as a start with an import of pyarrow takes a third of a second.
_idle: list[_Process] = []
os.register_at_fork(after_in_child=_idle.clear)


class Limits(NamedTuple):
    """Limits of a call."""

    seconds: int  # of CPU time
    megabytes: int = 600  # of address space of the subprocess

    @classmethod
    def for_file(cls, file: Path) -> 'Limits':
        """Limits that grow with a file, so that a small one takes neither long nor much memory."""
        size = file.stat().st_size // MEGABYTE if file.exists() else 0
        return cls(60 + size, min(400 + 4 * size, 1400))


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
    process = _take_idle() or _start()
    assert process.stdin
    assert process.stdout
    finished = False
    try:
        pickle.dump((limits, function, args, kwargs), process.stdin)
        process.stdin.flush()
        while (answer := pickle.load(process.stdout)) is not None:
            finished = isinstance(answer, (DataError, str))
            if isinstance(answer, DataError):
                raise answer
            if isinstance(answer, str):
                raise CallFailed(answer)
            yield answer
        finished = True
    except (EOFError, BrokenPipeError, pickle.UnpicklingError):
        ended = -process.wait()
        if ended == signal.SIGXCPU:
            problem = f'it takes longer than {limits.seconds} s'
        else:  # some decoders end the process if there is no memory
            problem = f'its decoder crashes ({ended}) with {limits.megabytes:,} MB of memory'
        raise CallFailed(problem) from None
    finally:
        if finished:
            _idle.append(process)
        else:
            process.kill()
            _end(process)


def _take_idle() -> _Process | None:
    try:
        return _idle.pop()
    except IndexError:
        return None


def _start() -> _Process:
    return subprocess.Popen(
        [sys.executable, '-m', __name__],
        cwd=Path(components.__path__[0]).parent,  # `-m` finds the packages there
        env={**os.environ, **_ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _end(process: _Process) -> None:
    for stream in filter(None, (process.stdin, process.stdout)):
        with contextlib.suppress(BrokenPipeError):
            stream.close()
    process.wait()


@atexit.register
def _end_all() -> None:
    while _idle:
        _end(_idle.pop())


def main() -> None:
    """Answers calls on standard input until it is closed.

    The results of a call are followed by None, or by an error: a DataError, or the text of another.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the calling process ends this one
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            limits, function, args, kwargs = pickle.load(requests)
            _limit(resource.RLIMIT_AS, limits.megabytes * MEGABYTE)
            _limit(resource.RLIMIT_CPU, int(time.process_time()) + 1 + limits.seconds)
            _send(functools.partial(function, *args, **kwargs), answers, limits)


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (soft, hard))


def _send(function: Callable[[], Iterator[Any] | None], answers: BinaryIO, limits: Limits) -> None:
    end: DataError | str | None = None
    try:
        for result in function() or ():
            pickle.dump(result, answers)
    except DataError as error:
        end = error
    except MemoryError:
        end = f'it needs more than {limits.megabytes:,} MB of memory'
    except BrokenPipeError:
        raise
    except Exception as error:  # pyarrow and Pillow raise nearly any
        end = str(error).strip().partition('\n')[0].rstrip(':')[:200] or type(error).__name__
    pickle.dump(end, answers)
    answers.flush()


if __name__ == '__main__':
    main()
