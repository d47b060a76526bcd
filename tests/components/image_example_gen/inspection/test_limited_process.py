"""Calls in limited processes, and how these end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.errors import CallFailed, DataError
from components.image_example_gen.inspection import limited_process
from components.image_example_gen.inspection.limited_process import Limits, call

USE = """
import os, sys
from components.image_example_gen.inspection.limited_process import Limits, call
sys.path.insert(0, {folder!r})
from test_limited_process import spin
print(os.getpid(), flush=True)
list(call(Limits(30), spin))
"""


@pytest.fixture(scope='module', autouse=True)
def own_workers():
    """Workers that find this module; their server imports TensorFlow once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', str(Path(__file__).parent))
        limited_process.end_workers()
        yield
        limited_process.end_workers()


def count(number):
    yield from range(1, number + 1)


def fail(error):
    raise error


def spin():
    Path(f'/proc/{os.getppid()}/comm').read_text()
    while True:
        pass


def allocate(megabytes):
    yield len(bytearray(megabytes * 10**6))


def keep(megabytes):
    kept.append(bytearray(megabytes * 10**6))


kept = []


def end(number):
    os.kill(os.getpid(), number)


def test_yields_results():
    assert list(call(Limits(5), count, 3)) == [1, 2, 3]
    results = call(Limits(5), count, 10**6)
    assert next(results) == 1
    results.close()
    assert list(call(Limits(5), count, 2)) == [1, 2]
    assert list(call(Limits(5, megabytes=300), allocate, 200)) == [200_000_000]


@pytest.mark.parametrize(
    ('limits', 'function', 'argument', 'error', 'message'),
    [
        (Limits(5), fail, DataError('no such file'), DataError, 'no such file'),
        (Limits(5), fail, ValueError('odd\nthings'), CallFailed, 'odd$'),
        (Limits(5, megabytes=100), allocate, 200, CallFailed, 'needs more than 100 MB'),
        (Limits(1), spin, None, CallFailed, 'needs more than 1 s of CPU time'),
        (Limits(5), end, signal.SIGSEGV, CallFailed, 'crashes'),
    ],
)
def test_errors_and_limits_end_only_the_call(limits, function, argument, error, message):
    with pytest.raises(error, match=message):
        list(call(limits, function, *[] if argument is None else [argument]))
    assert list(call(Limits(5), count, 1)) == [1]


def test_memory_that_an_earlier_call_keeps_is_not_that_of_the_next():
    assert not list(call(Limits(5, megabytes=300), keep, 200))
    assert list(call(Limits(5, megabytes=100), allocate, 50)) == [50_000_000]


def running():
    """Parent and session of each running process."""
    found = {}
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            state, parent, _, session = stat.read_text().rsplit(')', 1)[1].split()[:4]
        except OSError:
            continue
        if state != 'Z':
            found[int(stat.parent.name)] = int(parent), int(session)
    return found


def descendants(process):
    """Running processes whose sessions a process has started."""
    servers = {name for name, (parent, _) in running().items() if parent == process}
    return {name for name, (_, session) in running().items() if session in servers}


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize(
    'number', [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_processes_end_with_the_one_that_uses_them(number):
    code = USE.format(folder=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as user:
        process = int(user.stdout.readline())
        assert wait_until(lambda: len(descendants(process)) >= 2, 30)
        started = descendants(process)
        user.send_signal(number)
        errors = user.stderr.read()
    assert errors.count('Traceback') == (number == signal.SIGINT)  # that of the user only
    assert wait_until(lambda: started.isdisjoint(running()), 40)
