"""Chooses the metric, the minimum and the margin of the gate."""

from typing import Any

from components.evaluation.config import EvaluationConfig
from components.evaluation.results import ACCURACY, BALANCED_ACCURACY


def choose_gate(*, imbalanced: bool) -> dict[str, Any]:
    """Chooses `evaluation:` of a recipe.

    A model has to be better than always answering the most frequent class. `imbalanced` states that
    class weights are proposed, with which the balanced accuracy decides.
    """
    metric = BALANCED_ACCURACY if imbalanced else ACCURACY
    return {'metric': metric, 'minimum': None, 'margin': EvaluationConfig().margin}
