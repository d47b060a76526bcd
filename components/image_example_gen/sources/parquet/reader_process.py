"""Calls functions of `reader` in a subprocess with limits of memory and CPU time."""

import atexit
import contextlib
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

import components
from common.errors import DataError
from common.files import MEGABYTE

_MEMORY = 1400 * MEGABYTE  # of address space of the subprocess
_SECONDS = 60  # of CPU time of a call, plus one for each megabyte of the file
_ENVIRONMENT = {
    # Address space that is reserved for threads and freed memory counts as well.
    'ARROW_DEFAULT_MEMORY_POOL': 'system',
    'MALLOC_ARENA_MAX': '1',
    'OPENBLAS_NUM_THREADS': '1',
}
_Process = subprocess.Popen[bytes]
_Parameters = ParamSpec('_Parameters')
_Answer = TypeVar('_Answer')

# Processes that wait for a call, as importing pyarrow takes a third of a second.
_idle: list[_Process] = []
os.register_at_fork(after_in_child=_idle.clear)


def call(
    file: Path,
    function: Callable[_Parameters, Iterator[_Answer]],
    *args: _Parameters.args,
    **kwargs: _Parameters.kwargs,
) -> Iterator[_Answer]:
    """Yields the results of a function about a file; one of `reader`, as both are pickled.

    Raises:
        DataError: the function raises any error, or needs more memory or time than it may.
    """
    process = _idle.pop() if _idle else _start()
    assert process.stdin
    assert process.stdout
    finished = False
    try:
        seconds = _SECONDS + (file.stat().st_size // MEGABYTE if file.exists() else 0)
        pickle.dump((function, args, kwargs, seconds), process.stdin)
        process.stdin.flush()
        while (answer := pickle.load(process.stdout)) is not None:
            finished = isinstance(answer, (DataError, str))
            if isinstance(answer, DataError):
                raise answer
            if isinstance(answer, str):
                raise DataError(f'{file} cannot be read: {answer}')
            yield answer
        finished = True
    except (EOFError, BrokenPipeError, pickle.UnpicklingError):
        ended = -process.wait()
        slow = ended == signal.SIGXCPU
        problem = f'it takes longer than {seconds} s' if slow else f'pyarrow crashes ({ended})'
        raise DataError(f'{file} cannot be read: {problem}') from None
    finally:
        if finished:
            _idle.append(process)
        else:
            process.kill()
            _end(process)


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
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    memory = _MEMORY if hard == resource.RLIM_INFINITY else min(_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, hard))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            function, args, kwargs, seconds = pickle.load(requests)
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + seconds, hard))
            _send(function(*args, **kwargs), answers)


def _send(results: Iterator[Any], answers: BinaryIO) -> None:
    end: DataError | str | None = None
    try:
        for result in results:
            pickle.dump(result, answers)
    except DataError as error:
        end = error
    except MemoryError:
        end = f'it needs more than {_MEMORY / MEGABYTE:,.0f} MB of memory'
    except BrokenPipeError:
        raise
    except Exception as error:  # pyarrow raises nearly any
        end = str(error).strip().partition('\n')[0].rstrip(':')[:200] or type(error).__name__
    pickle.dump(end, answers)
    answers.flush()


if __name__ == '__main__':
    main()
