"""Checks, before anything is pushed, that a model serves as it was trained."""

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

BLESSED = 'blessed'  # as TFX's InfraValidator says it

_log = logging.getLogger(__name__)


@component
def ServingCheck(
    model: InputArtifact[standard_artifacts.Model],
    infra_blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    serving_check: Parameter[str],
    code: Parameter[str],  # part of the cache key
) -> None:
    """Loads the SavedModel in a fresh process and asks it what the Trainer has answered before.

    A model that does not serve is a finding and no failure; what follows from it is the gate's to
    say. `measurements.json` in the folder of the blessing holds what was found.

    Args:
        model: of the Trainer.
        infra_blessing: gets the custom property `blessed`, 1 or 0.
        serving_check: a `ServingCheckConfig` as JSON.
        code: hash of the code of this component and of the probe.
    """
    config = ServingCheckConfig.model_validate_json(serving_check)
    found = check(folder_of(path_utils.serving_model_path(model.uri)), config.seconds)
    folder = folder_of(infra_blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MEASUREMENTS_FILE).write_text(found.model_dump_json(indent=1))
    infra_blessing.set_int_custom_property(BLESSED, int(not found.problems))
    _log.info(in_words(found))


def in_words(found: Measurements) -> str:
    """What was found, for a person."""
    if found.problems:
        return 'the model does not serve: ' + '; '.join(found.problems)
    words = f"answers as the Trainer's to {found.largest_difference:.0e}"
    if found.latency_ms is not None:
        words += f', {found.latency_ms:.0f} ms for one image on one core'
    if found.memory_mb is not None:
        words += f', {found.memory_mb:.0f} MB of memory'
    return f'{words}, {found.size_mb:.1f} MB on disk'
