"""Stores the gate decision on a model: a `ModelBlessing` artifact that TFX's Pusher reads.

It is a custom property and a marker file in its folder.
"""

from ml_metadata.proto.metadata_store_pb2 import Artifact

from common.artifacts import folder_of
from common.metadata_queries import custom_property, set_custom_properties

BLESSING = 'blessing'  # output of ModelGate
ANCHOR_MODEL_ID = 'anchor_model_id'  # custom property of blessings: the best model from then on
CURRENT_MODEL_ID = 'current_model_id'  # custom property of blessings, as in TFX's Evaluator
_BLESSED = 'blessed'


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
