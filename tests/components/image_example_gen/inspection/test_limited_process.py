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


@pytest.fixture(autouse=True)
def own_workers(monkeypatch):
    """Workers that find this module."""
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parent))
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


def test_yields_results_and_raises_errors():
    assert list(call(Limits(5), count, 3)) == [1, 2, 3]
    with pytest.raises(DataError, match='no such file'):
        list(call(Limits(5), fail, DataError('no such file')))
    with pytest.raises(CallFailed, match='odd'):
        list(call(Limits(5), fail, ValueError('odd\nthings')))
    results = call(Limits(5), count, 10**6)
    assert next(results) == 1
    results.close()
    assert list(call(Limits(5), count, 2)) == [1, 2]


def test_limits():
    assert list(call(Limits(5, megabytes=300), allocate, 200)) == [200_000_000]
    with pytest.raises(CallFailed, match='needs more than 100 MB'):
        list(call(Limits(5, megabytes=100), allocate, 200))
    with pytest.raises(CallFailed, match='takes longer than 1 s'):
        list(call(Limits(1), spin))
    with pytest.raises(CallFailed, match='crashes'):
        list(call(Limits(5), end, signal.SIGSEGV))
    assert list(call(Limits(5), count, 1)) == [1]


def test_memory_that_an_earlier_call_keeps_is_not_that_of_the_next():
    assert not list(call(Limits(5, megabytes=300), keep, 200))
    assert list(call(Limits(5, megabytes=100), allocate, 50)) == [50_000_000]


def descendants(process):
    """Running processes whose sessions a process has started."""
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            state, parent, _, session = stat.read_text().rsplit(')', 1)[1].split()[:4]
        except OSError:
            continue
        name = int(stat.parent.name)
        if state != 'Z' and (int(parent) == process or int(session) in found):
            found.append(name)
    return found


@pytest.mark.parametrize(
    'number', [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_processes_end_with_the_one_that_uses_them(number):
    code = USE.format(folder=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout
        assert user.stderr
        process = int(user.stdout.readline())
        deadline = time.monotonic() + 30
        while len(started := descendants(process)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        user.send_signal(number)
        errors = user.stderr.read()
        deadline = time.monotonic() + 40
    assert len(started) >= 2
    assert errors.count('Traceback') == (number == signal.SIGINT)  # that of the user only
    while time.monotonic() < deadline and any(
        (Path(f'/proc/{each}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z')
        for each in started
        if Path(f'/proc/{each}').exists()
    ):
        time.sleep(0.05)
    assert time.monotonic() < deadline
