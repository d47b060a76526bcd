"""Runs a Python process on hostile input, and measures its memory and CPU time."""

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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


@functools.cache
def megabytes_of_imports(module: str) -> float:
    """Peak memory of a process that only imports a module; it differs by stack and machine."""
    return run_hostile(['-c', f'import {module}'], timeout=120).peak_megabytes
