"""Runs the probe of a SavedModel in a subprocess."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import components
from common.files import MEGABYTE
from components.serving_check.measurements import Measurements

PROBE = 'components.serving_check.probe'  # module name
_ENVIRONMENT = {
    'TF_CPP_MIN_LOG_LEVEL': '3',  # the last line of stderr should be the error
    'CUDA_VISIBLE_DEVICES': '-1',  # measure on one CPU core
    'TF_USE_LEGACY_KERAS': '1',  # avoids an unused import of Keras, one second
}
_MAX_ERROR = 300  # characters


def check(model: Path, seconds: float) -> Measurements:
    """Probes a SavedModel in a subprocess; a crash or timeout is reported as a problem.

    Args:
        model: folder of the SavedModel.
        seconds: timeout of the subprocess.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, 'measurements.json')
        problem = _run([sys.executable, '-m', PROBE, str(model.absolute()), str(result)], seconds)
        if problem is None:
            return Measurements.model_validate_json(result.read_text())
    return Measurements(problems=(problem,), size_mb=size_of(model))


def size_of(model: Path) -> float:
    """Total size of the files in a folder, in megabytes (10^6 bytes)."""
    return sum(path.stat().st_size for path in model.rglob('*') if path.is_file()) / MEGABYTE


def _run(command: list[str], seconds: float) -> str | None:
    """Runs a command; returns the problem, if any."""
    root = Path(components.__path__[0]).parent  # on sys.path, as the working directory
    try:
        subprocess.run(
            command,
            cwd=root,
            env={**os.environ, **_ENVIRONMENT},
            timeout=seconds,
            check=True,
            capture_output=True,
            text=True,
            errors='replace',
        )
    except subprocess.TimeoutExpired:
        return f'the serving check had no result within {seconds:g} seconds'
    except subprocess.CalledProcessError as error:
        return _describe_exit(error.returncode, error.stderr)
    return None


def _describe_exit(code: int, stderr: str) -> str:
    if code == -signal.SIGKILL:
        return 'the serving check was killed (SIGKILL), perhaps out of memory'
    if code < 0:
        return f'the serving check crashed ({signal.Signals(-code).name})'
    lines = stderr.strip().splitlines() or ['no error message']
    return f'the serving check failed with exit code {code}: {lines[-1][:_MAX_ERROR]}'
