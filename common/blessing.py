"""Stores the gate decision on a model: a `ModelBlessing` artifact that TFX's Pusher reads.

It is a custom property and a marker file in its folder.
"""

from ml_metadata.proto.metadata_store_pb2 import Artifact

from common.artifacts import folder_of
from common.manual_override import read_override
from common.metadata_queries import custom_property, set_custom_properties

BLESSING = 'blessing'  # output of ModelGate
CURRENT_MODEL_ID = 'current_model_id'  # custom property of blessings, as in TFX's Evaluator
_BLESSED = 'blessed'


def decision_of(blessing: Artifact | None) -> bool | None:
    """The gate decision in a blessing; None if empty (TFX's Evaluator without thresholds)."""
    value = custom_property(blessing, _BLESSED)
    return None if value is None else value == 1


def is_blessed(model: Artifact, blessing: Artifact) -> bool:
    """Whether a model is blessed: by its manual override if there is one, else by the gate."""
    override = read_override(folder_of(model.uri))
    return override.blessed if override else decision_of(blessing) is True


def record_decision(
    blessing: Artifact, blessed: bool, model: Artifact, reference: Artifact | None
) -> None:
    """Stores the gate decision in a new blessing and its folder, as TFX's Evaluator does.

    `reference` is the model that this one was compared with.
    """
    values = {_BLESSED: int(blessed), CURRENT_MODEL_ID: model.id, 'current_model': model.uri}
    if reference is not None:  # the names are TFX's
        values |= {'baseline_model_id': reference.id, 'baseline_model': reference.uri}
    set_custom_properties(blessing, values)
    folder = folder_of(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ('BLESSED' if blessed else 'NOT_BLESSED')).touch()
