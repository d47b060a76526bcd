"""Stores the gate decision on a model, and the manual override of it.

The gate decision is a `ModelBlessing` artifact that TFX's Pusher reads: a custom property and a
marker file in its folder. The manual override is a file in the folder of the Trainer's model, so it
is valid for every gate decision on that model, also with another baseline.
"""

import datetime
from pathlib import Path

from ml_metadata.proto.metadata_store_pb2 import Artifact
from pydantic import ValidationError

from common.artifacts import folder_of
from common.errors import ModelError
from common.files import read_regular, write_atomically
from common.metadata_queries import custom_property, set_custom_properties
from common.strict_model import StrictModel

BLESSING = 'blessing'  # output of ModelGate
OVERRIDE_FILE = 'override.json'  # in the folder of the Trainer's model
OVERRIDE = 'manual_override'  # custom property of predictions
ANCHOR_MODEL_ID = 'anchor_model_id'  # custom property of blessings: the best model from then on
CURRENT_MODEL_ID = 'current_model_id'  # custom property of blessings, as in TFX's Evaluator
_BLESSED = 'blessed'


class ManualOverride(StrictModel):
    """Manual decision on a model; overrides the gate."""

    blessed: bool  # whether the model may be pushed, be a baseline, and be used for a warm start
    person: str
    reason: str
    moment: datetime.datetime  # time of the decision, with a time zone

    def describe(self) -> str:
        """One clause for messages."""
        action = 'manually blessed' if self.blessed else 'its blessing was manually withdrawn'
        return f'{action} by {self.person}: {self.reason}'


def read_override(model: Path) -> ManualOverride | None:
    """Reads the manual override of a Model artifact's folder; None if there is none.

    Raises:
        ModelError: the file is damaged.
    """
    path = model / OVERRIDE_FILE
    try:
        return ManualOverride.model_validate_json(read_regular(path))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ModelError(f'{path} is damaged: bless or unbless the model again') from error


def write_override(model: Path, override: ManualOverride) -> None:
    """Writes the manual override to a Model artifact's folder, atomically.

    Raises:
        OSError: the folder is not writable.
    """
    write_atomically(model / OVERRIDE_FILE, override.model_dump_json(indent=1))


def is_blessed(model: Path, by_gate: bool) -> bool:
    """Whether a model is blessed: by its manual override if there is one, else by the gate."""
    override = read_override(model)
    return override.blessed if override else by_gate


def decision_of(blessing: Artifact | None) -> bool | None:
    """The gate decision in a blessing; None if empty (TFX's Evaluator without thresholds)."""
    value = custom_property(blessing, _BLESSED)
    return None if value is None else value == 1


def record_decision(
    blessing: Artifact,
    blessed: bool,
    model: Artifact,
    baseline: Artifact | None,
    anchor: Artifact | None,
) -> None:
    """Stores the gate decision in a new blessing and its folder, as TFX's Evaluator does.

    `anchor` is the best model so far, with this one considered.
    """
    values = {_BLESSED: int(blessed), CURRENT_MODEL_ID: model.id, 'current_model': model.uri}
    if anchor is not None:
        values[ANCHOR_MODEL_ID] = anchor.id
    if baseline is not None:
        values |= {'baseline_model_id': baseline.id, 'baseline_model': baseline.uri}
    set_custom_properties(blessing, values)
    folder = folder_of(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ('BLESSED' if blessed else 'NOT_BLESSED')).touch()
