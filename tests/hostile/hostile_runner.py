"""Runs Python processes on hostile input, and measures their memory and CPU time."""

import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

ROOT = Path(__file__).parents[2]
# The kernel counts the memory of the process before `exec` too, which is that of pytest. This small
# process in between starts the measured one.
_MEASURE = """
import json, os, sys
report = int(sys.argv[1])
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[2:]], os.environ)
_, status, usage = os.wait4(child, 0)
values = os.waitstatus_to_exitcode(status), usage.ru_maxrss, usage.ru_utime + usage.ru_stime
os.write(report, json.dumps(values).encode())
"""
# Calls `main(argument)` of a program for each line, and resets the peak of memory before each call.
_SERVE = """
import json, os, resource, sys, traceback
requests, answers = os.fdopen(int(sys.argv[1])), os.fdopen(int(sys.argv[2]), 'w')
scope = {}
exec(sys.argv[3], scope)

def usage():
    own, others = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime
    with open('/proc/self/status') as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith('VmHWM:'))
    return max(peak, others.ru_maxrss), seconds

for line in requests:
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')
    _, before = usage()
    try:
        code = scope['main'](json.loads(line)) or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    peak, after = usage()
    print(json.dumps((code, peak, after - before)), file=answers, flush=True)
"""


class Outcome(NamedTuple):
    """The result of a process and of the largest of the processes that it waited for."""

    exit_code: int  # negative: the number of a signal
    output: str  # standard output and standard error
    peak_megabytes: float  # largest resident memory of one process
    cpu_seconds: float  # of all processes


def run_hostile(
    arguments: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float,
) -> Outcome:
    """Runs `python ARGUMENTS` in the root of the repository.

    `env` is added to the environment. Raises AssertionError, and ends all processes, after
    `timeout` seconds.
    """
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, '-I', '-S', '-c', _MEASURE, str(writing), *arguments],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'TF_CPP_MIN_LOG_LEVEL': '3', **(env or {})},
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[writing],
        start_new_session=True,
    ) as process:
        os.close(writing)
        try:
            output, _ = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f'no end after {timeout} s: {error.output!r}') from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            with os.fdopen(reading) as report:
                measured = report.read()
    exit_code, kilobytes, seconds = json.loads(measured)
    megabytes = kilobytes * 1.024e-3
    print(f'exit code {exit_code}, {megabytes:.0f} MB, {seconds:.1f} s of CPU time')  # noqa: T201  for -rP
    return Outcome(exit_code, output.decode(errors='replace'), megabytes, seconds)


class HostileProcess:
    """A process that calls `main(argument)` of a program; each call is measured."""

    def __init__(
        self, process: subprocess.Popen, requests: TextIO, answers: TextIO, output: int
    ) -> None:
        self._process, self._output = process, output
        self._requests, self._answers = requests, answers

    def call(self, argument: str, *, timeout: float = 50) -> Outcome:
        """Raises AssertionError after `timeout` seconds, or if the process has ended."""
        start = os.lseek(self._output, 0, os.SEEK_END)
        print(json.dumps(argument), file=self._requests, flush=True)
        ready, _, _ = select.select([self._answers], [], [], timeout)
        if not ready:
            os.killpg(self._process.pid, signal.SIGKILL)
        answer = self._answers.readline() if ready else ''
        size = os.lseek(self._output, 0, os.SEEK_END) - start
        output = os.pread(self._output, size, start).decode(errors='replace')
        assert answer, f'no answer within {timeout} s: {output}'
        exit_code, kilobytes, seconds = json.loads(answer)
        return Outcome(exit_code, output, kilobytes * 1.024e-3, seconds)


@contextlib.contextmanager
def hostile_process(program: str, env: Mapping[str, str]) -> Iterator[HostileProcess]:
    """Starts a process in the root of the repository; `env` is added to the environment."""
    (requests, ours), (theirs, answers) = os.pipe(), os.pipe()
    with (
        os.fdopen(ours, 'w') as to_process,
        os.fdopen(theirs) as from_process,
        tempfile.TemporaryFile() as output,
        subprocess.Popen(
            [sys.executable, '-c', _SERVE, str(requests), str(answers), program],
            cwd=ROOT,
            env={**os.environ, 'PYTHONPATH': str(ROOT), 'TF_CPP_MIN_LOG_LEVEL': '3', **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[requests, answers],
            start_new_session=True,
        ) as process,
    ):
        for each in (requests, answers):
            os.close(each)
        try:
            yield HostileProcess(process, to_process, from_process, output.fileno())
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@functools.cache
def megabytes_of_imports(module: str) -> float:
    """Peak memory of a process that only imports a module; it differs by stack and machine."""
    return run_hostile(['-c', f'import {module}'], timeout=120).peak_megabytes
