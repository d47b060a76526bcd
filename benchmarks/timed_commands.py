"""Runs commands and measures them; names the machine and the version of the code."""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from common import stack  # noqa: E402

DEMO = 'pipeline_runner.py', 'run', '--config', 'demo'


@dataclasses.dataclass(frozen=True)
class Run:
    """Wall and CPU seconds of a command, peak memory of its largest process, last line printed."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    last_line: str

    @property
    def cost(self) -> dict[str, float]:
        """Fields of a `history.MeasuredRun`."""
        return {
            'seconds': self.seconds,
            'cpu_seconds': self.cpu_seconds,
            'peak_mb': self.peak_mb,
        }


def timed(*command: object) -> Run:
    """Runs a Python command and measures it; its standard error is passed through.

    Raises:
        SystemExit: the command failed.
    """
    start = time.perf_counter()
    words = [sys.executable, *map(str, command)]
    with tempfile.TemporaryFile('w+') as output:
        process = subprocess.Popen(words, stdout=output, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = output.read().splitlines() or ['']
    if process.returncode not in (0, 3):  # 3: finished and not blessed
        sys.exit(f'{" ".join(words)} ended with {process.returncode}: ' + '\n'.join(lines[-5:]))
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, lines[-1])


def overrides(changes: dict[str, object]) -> list[str]:
    """Options `--set key=value` of the command line."""
    return [word for key, value in changes.items() for word in ('--set', f'{key}={value}')]


def version() -> str:
    """The commit of the code, with `-dirty` if it was changed; `unknown` without git."""
    command = ['git', 'describe', '--always', '--dirty']
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # a copy without git
        return 'unknown'
    return run.stdout.strip()


def processor() -> str:
    """Number of cores and name of the processor."""
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    name = next(line.split(':')[1].strip() for line in lines if line.startswith('model name'))
    return f'{os.cpu_count()} cores of {name}'


def machine() -> str:
    """Processor, number of cores, and versions of Python and TensorFlow."""
    return f'{processor()}, {stack.describe()}'
