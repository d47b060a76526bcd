"""Blessings of models: the gate's decision and the manual override, as they are stored.

The gate's decision is an artifact `ModelBlessing`, which TFX's Pusher and resolvers read: a custom
property and a marker file in its folder. The manual override is a file in the folder of the
Trainer's model, because the gate may judge the same model again beside another baseline, which
gives a new artifact. Imports neither TensorFlow nor TFX.
"""

import datetime
from pathlib import Path

from ml_metadata.proto.metadata_store_pb2 import Artifact
from pydantic import BaseModel, ConfigDict, ValidationError

from common.artifacts import folder_of
from common.errors import ModelError
from common.files import write_atomically
from common.metadata_queries import custom_property, set_custom_properties

BLESSING = 'blessing'  # output of ModelGate
OVERRIDE_FILE = 'by_hand.json'  # in the folder of the Trainer's model
OVERRIDE = 'by_hand'  # custom property of a blessing that an override changed, and of predictions
CURRENT_MODEL_ID = 'current_model_id'  # custom property of a blessing, as TFX's Evaluator names it
_BLESSED = 'blessed'
_MARKER_FILES = {True: 'BLESSED', False: 'NOT_BLESSED'}


class ManualOverride(BaseModel):
    """A manual decision on a model, which replaces that of the gate.

    Attributes:
        blessed: whether the model may be pushed, be a baseline, and be continued from.
        person: name of the user.
        reason: of the user.
        moment: when, with a time zone.
    """

    model_config = ConfigDict(frozen=True, extra='forbid')

    blessed: bool
    person: str
    reason: str
    moment: datetime.datetime

    def describe(self) -> str:
        """A clause for messages."""
        how = 'blessed' if self.blessed else 'its blessing was withdrawn'
        return f'{how} by hand by {self.person}: {self.reason}'


def read_override(model: Path) -> ManualOverride | None:
    """The manual override of the Trainer's model in a folder; None if there is none.

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
    """Replaces the manual override of the Trainer's model in a folder.

    Raises:
        OSError: the folder cannot be written.
    """
    write_atomically(model / OVERRIDE_FILE, override.model_dump_json(indent=1))


def withdrawal(model: Path | None) -> str | None:
    """Describes the override that withdrew the blessing of a model; None if there is none."""
    override = read_override(model) if model else None
    return override.describe() if override and not override.blessed else None


def is_blessed(model: Path, by_gate: bool) -> bool:
    """The decision on the Trainer's model in a folder: of the override if there is one.

    Raises:
        ModelError: there is one, and it is damaged.
    """
    override = read_override(model)
    return override.blessed if override else by_gate


def decision_of(blessing: Artifact | None) -> bool | None:
    """The decision that a blessing holds; None if it is empty, as those of TFX's Evaluator here."""
    value = custom_property(blessing, _BLESSED)
    return None if value is None else value == 1


def model_id_of(blessing: Artifact) -> int | None:
    """The id of the model that a blessing is about; None for other artifacts."""
    value = custom_property(blessing, CURRENT_MODEL_ID)
    return None if value is None else int(value)


def is_overridden(blessing: Artifact) -> bool:
    """Whether a manual override changed a blessing and its files; False for other artifacts."""
    return bool(custom_property(blessing, OVERRIDE) == 1)


def record_decision(
    blessing: Artifact, blessed: bool, model: Artifact, baseline: Artifact | None
) -> None:
    """Writes the gate's decision to a new blessing and its folder, as TFX's Evaluator does."""
    values = {_BLESSED: int(blessed), CURRENT_MODEL_ID: model.id, 'current_model': model.uri}
    if baseline is not None:
        values |= {'baseline_model_id': baseline.id, 'baseline_model': baseline.uri}
    set_custom_properties(blessing, values)
    folder = folder_of(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)  # Vertex AI creates none
    _write_marker(folder, blessed)


def record_override(blessing: Artifact, override: ManualOverride) -> None:
    """Writes a manual override to a blessing, and to its folder if that still exists."""
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
