"""ServingCheck component: compares served predictions with those of the Trainer."""

import logging

from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from common.artifacts import folder_of
from components.serving_check.check import check
from components.serving_check.config import ServingCheckConfig
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements

BLESSED = 'blessed'  # custom property, as in TFX's InfraValidator

_log = logging.getLogger(__name__)


@component
def ServingCheck(
    model: InputArtifact[standard_artifacts.Model],
    infra_blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    serving_check: Parameter[str],
    code: Parameter[str],  # part of the cache key
) -> None:
    """Loads the SavedModel in a subprocess and sends the requests that the Trainer recorded.

    A failed check does not fail the node: ModelGate rejects the model. The folder of the blessing
    gets `measurements.json`.

    Args:
        model: output of the Trainer.
        infra_blessing: gets the custom property `blessed`, 1 or 0.
        serving_check: `ServingCheckConfig` as JSON.
        code: hash of the component's source, with the probe.
    """
    config = ServingCheckConfig.model_validate_json(serving_check)
    measurements = check(folder_of(path_utils.serving_model_path(model.uri)), config.seconds)
    folder = folder_of(infra_blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MEASUREMENTS_FILE).write_text(measurements.model_dump_json(indent=1))
    infra_blessing.set_int_custom_property(BLESSED, int(not measurements.problems))
    _log.info(describe(measurements))


def describe(measurements: Measurements) -> str:
    """One line with the problems or the measurements."""
    if measurements.problems:
        return 'the model does not serve: ' + '; '.join(measurements.problems)
    clauses = [f'predictions match training to {measurements.largest_difference:.0e}']
    if measurements.latency_ms is not None:
        clauses.append(f'{measurements.latency_ms:.0f} ms per image on one core')
    if measurements.memory_mb is not None:
        clauses.append(f'{measurements.memory_mb:.0f} MB of memory')
    return '; '.join([*clauses, f'{measurements.size_mb:.1f} MB on disk'])
