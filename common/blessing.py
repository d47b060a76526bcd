"""Stores the blessing of a model: the gate decision and the manual override.

The gate decision is a `ModelBlessing` artifact that TFX's Pusher and resolvers read: a custom
property and a marker file in its folder. The manual override is a file in the folder of the
Trainer's model, because a run with another baseline creates a new blessing for the same model.
"""

import datetime
from pathlib import Path

from ml_metadata.proto.metadata_store_pb2 import Artifact
from pydantic import ValidationError

from common.artifacts import folder_of
from common.errors import ModelError
from common.files import write_atomically
from common.metadata_queries import custom_property, set_custom_properties
from common.strict_model import StrictModel

BLESSING = 'blessing'  # output of ModelGate
OVERRIDE_FILE = 'override.json'  # in the folder of the Trainer's model
OVERRIDE = 'manual_override'  # custom property of overridden blessings, and of predictions
CURRENT_MODEL_ID = 'current_model_id'  # custom property, as in TFX's Evaluator
_BLESSED = 'blessed'
_MARKER_FILES = {True: 'BLESSED', False: 'NOT_BLESSED'}


class ManualOverride(StrictModel):
    """Manual decision on a model; overrides the gate.

    Attributes:
        blessed: whether the model may be pushed, be a baseline, and be used for a warm start.
        person: user name.
        reason: given by the user.
        moment: time of the decision, with a time zone.
    """

    blessed: bool
    person: str
    reason: str
    moment: datetime.datetime

    def describe(self) -> str:
        """One clause for messages."""
        how = 'blessed' if self.blessed else 'its blessing was withdrawn'
        return f'{how} by hand by {self.person}: {self.reason}'


def read_override(model: Path) -> ManualOverride | None:
    """Reads the manual override of a Model artifact's folder; None if there is none.

    Raises:
        ModelError: the file is damaged.
    """
    path = model / OVERRIDE_FILE
    try:
        return ManualOverride.model_validate_json(path.read_bytes())
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


def withdrawal(model: Path | None) -> str | None:
    """Describes the override that withdrew the blessing of a model, or None."""
    override = read_override(model) if model else None
    return override.describe() if override and not override.blessed else None


def is_blessed(model: Path, by_gate: bool) -> bool:
    """Whether a model is blessed: by its manual override if there is one, else by the gate.

    Raises:
        ModelError: the override is damaged.
    """
    override = read_override(model)
    return override.blessed if override else by_gate


def decision_of(blessing: Artifact | None) -> bool | None:
    """The decision stored in a blessing; None if empty (TFX's Evaluator without thresholds)."""
    value = custom_property(blessing, _BLESSED)
    return None if value is None else value == 1


def model_id_of(blessing: Artifact) -> int | None:
    """Artifact id of the blessed or rejected model; None if the artifact is not a blessing."""
    value = custom_property(blessing, CURRENT_MODEL_ID)
    return None if value is None else int(value)


def is_overridden(blessing: Artifact) -> bool:
    """Whether a manual override changed this blessing; False for other artifacts."""
    return bool(custom_property(blessing, OVERRIDE) == 1)


def record_decision(
    blessing: Artifact, blessed: bool, model: Artifact, baseline: Artifact | None
) -> None:
    """Stores the gate decision in a new blessing and its folder, as TFX's Evaluator does."""
    values = {_BLESSED: int(blessed), CURRENT_MODEL_ID: model.id, 'current_model': model.uri}
    if baseline is not None:
        values |= {'baseline_model_id': baseline.id, 'baseline_model': baseline.uri}
    set_custom_properties(blessing, values)
    folder = folder_of(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)  # Vertex AI does not create it
    _write_marker(folder, blessed)


def record_override(blessing: Artifact, override: ManualOverride) -> None:
    """Stores a manual override in a blessing, and in its folder if that still exists."""
    values: dict[str, str | int] = {
        _BLESSED: int(override.blessed),
        OVERRIDE: 1,
        'person': override.person,
        'reason': override.reason,
    }
    set_custom_properties(blessing, values)
    folder = folder_of(blessing.uri)
    if folder.is_dir():
        _write_marker(folder, override.blessed)


def _write_marker(folder: Path, blessed: bool) -> None:
    (folder / _MARKER_FILES[blessed]).touch()
    (folder / _MARKER_FILES[not blessed]).unlink(missing_ok=True)
