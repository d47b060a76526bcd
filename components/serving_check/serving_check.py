"""ServingCheck component: compares served predictions with those of the Trainer."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

import components
from common.artifacts import SERVED, folder_of
from components.serving_check import probe
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements, size_of

BLESSED = 'blessed'  # custom property, as in TFX's InfraValidator
_ENVIRONMENT = {
    'TF_CPP_MIN_LOG_LEVEL': '3',  # the last line of stderr should be the error
    'CUDA_VISIBLE_DEVICES': '-1',  # measure on one CPU core
}
_MAX_ERROR = 300  # characters

_log = logging.getLogger(__name__)


@component
def ServingCheck(
    model: InputArtifact[standard_artifacts.Model],
    infra_blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    seconds: Parameter[int],
) -> None:
    """Loads the SavedModel in a subprocess and sends the requests that the Trainer recorded.

    A failed check does not fail the node: ModelGate rejects the model. The blessing gets the custom
    property `blessed`, 1 or 0, and its folder `measurements.json`.
    """
    measurements = check(folder_of(model.uri) / SERVED, seconds)
    measurements.write(folder_of(infra_blessing.uri) / MEASUREMENTS_FILE)
    infra_blessing.set_int_custom_property(BLESSED, int(not measurements.problems))
    _log.info(measurements.describe())


def check(model: Path, seconds: float, module: str = probe.__name__) -> Measurements:
    """Runs a module that probes a SavedModel; a crash or timeout is reported as a problem."""
    try:
        done = subprocess.run(
            [sys.executable, '-m', module, str(model.resolve())],
            cwd=Path(components.__path__[0]).parent,
            env={**os.environ, **_ENVIRONMENT},
            timeout=seconds,
            check=True,
            capture_output=True,
            text=True,
            errors='replace',
        )
        return Measurements.model_validate_json(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        problem = f'the serving check had no result within {seconds:g} s'
    except subprocess.CalledProcessError as error:
        problem = _describe_exit(error.returncode, error.stderr)
    return Measurements(problems=(problem,), size_mb=size_of(model))


def _describe_exit(code: int, stderr: str) -> str:
    if code < 0:
        hint = ', perhaps out of memory' if code == -signal.SIGKILL else ''
        return f'the serving check was killed by {signal.Signals(-code).name}{hint}'
    line = (stderr.strip() or 'no error message').splitlines()[-1][:_MAX_ERROR]
    return f'the serving check failed with exit code {code}: {line}'
