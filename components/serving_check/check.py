"""Starts the process that checks a SavedModel, and says in words how it ended. Imports no TFX."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import components
from common.files import MEGABYTE
from components.serving_check.measurements import Measurements

PROBE = 'components.serving_check.probe'  # started by its name
_ENVIRONMENT = {
    'TF_CPP_MIN_LOG_LEVEL': '3',  # warnings would hide the error
    'CUDA_VISIBLE_DEVICES': '-1',  # a GPU may be in use, and one core is measured
    'TF_USE_LEGACY_KERAS': '1',  # is imported when it is used, and it is not: a second less
}
_SAID = 300  # characters


def check(model: Path, seconds: float) -> Measurements:
    """Loads and asks a SavedModel in a fresh process; its end is a finding, whatever it is.

    Args:
        model: folder of the SavedModel.
        seconds: after which the process is ended.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, 'measurements.json')
        problem = _run([sys.executable, '-m', PROBE, str(model.absolute()), str(result)], seconds)
        if problem is None:
            return Measurements.model_validate_json(result.read_text())
    return Measurements(problems=(problem,), size_mb=size_of(model))


def size_of(model: Path) -> float:
    """Megabytes of all files in a folder."""
    return sum(path.stat().st_size for path in model.rglob('*') if path.is_file()) / MEGABYTE


def _run(command: list[str], seconds: float) -> str | None:
    """Runs a command; says what went wrong."""
    # Python finds the packages in the folder that a module is started in.
    root = Path(components.__path__[0]).parent
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
        return f'it did not answer within {seconds:g} seconds'
    except subprocess.CalledProcessError as ended:
        return _ended(ended.returncode, ended.stderr)
    return None


def _ended(code: int, said: str) -> str:
    """How a process ended, in words."""
    if code == -signal.SIGKILL:
        return 'its process was killed (SIGKILL), as happens when memory runs out'
    if code < 0:
        return f'its process crashed ({signal.Signals(-code).name})'
    lines = said.strip().splitlines()
    return f'its process failed with exit code {code}: {lines[-1][:_SAID] if lines else "silently"}'
