"""Decides whether a model may be pushed, and writes down why."""

import json
import logging

from tfx.components.util import model_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts

from common.artifacts import folder_of
from components.evaluation.config import EvaluationConfig
from components.evaluation.gate.rules import FLOOR, judge
from components.evaluation.gate.verdict import Verdict, write_verdict
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements

BLESSING = 'blessing'
BLESSED, CURRENT_MODEL_ID, CURRENT_MODEL = 'blessed', 'current_model_id', 'current_model'
_BLESSED_FILE, _NOT_BLESSED_FILE = 'BLESSED', 'NOT_BLESSED'

_log = logging.getLogger(__name__)


class ModelVerdict(Artifact):
    """A ruling of each rule of the gate: a `components.evaluation.gate.verdict.Verdict` as JSON."""

    TYPE_NAME = 'catdog.ModelVerdict'  # Vertex AI wants a prefix


@component
def ModelGate(
    model: InputArtifact[standard_artifacts.Model],
    evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    infra_blessing: InputArtifact[standard_artifacts.InfraBlessing],
    config: Parameter[str],
    classes: Parameter[str],
    threshold: Parameter[float],
    blessing: OutputArtifact[standard_artifacts.ModelBlessing],
    verdict: OutputArtifact[ModelVerdict],
    infra_validation: InputArtifact[standard_artifacts.InfraBlessing] = None,
    baseline_model: InputArtifact[standard_artifacts.Model] = None,
) -> None:
    """Blesses a model if no rule says no.

    Args:
        model: the candidate.
        evaluation: of TFX's Evaluator, of the candidate and the baseline.
        infra_blessing: of the serving check.
        config: an `EvaluationConfig` as JSON.
        classes: names in the order of their labels, as JSON.
        threshold: probability from which on the second of two classes is said.
        blessing: as TFX's Evaluator gives one.
        verdict: a ruling of each rule.
        infra_validation: of TFX's InfraValidator, where the recipe switches it on.
        baseline_model: the last blessed model; the evaluation holds what was found of it.
    """
    measured = folder_of(infra_blessing.uri) / MEASUREMENTS_FILE
    names = tuple(json.loads(classes))
    found = judge(
        read_evaluation(folder_of(evaluation.uri), names, threshold),
        Measurements.model_validate_json(measured.read_bytes()),
        EvaluationConfig.model_validate_json(config),
        None if infra_validation is None else model_utils.is_infra_validated(infra_validation),
    )
    write_verdict(found, folder_of(verdict.uri))
    _bless(blessing, found.blessed, model, baseline_model)
    _tell(found)


def _bless(
    blessing: standard_artifacts.ModelBlessing,
    blessed: bool,
    model: standard_artifacts.Model,
    baseline: standard_artifacts.Model | None,
) -> None:
    """Says it as TFX's Evaluator does: Pusher and resolvers of TFX read these."""
    blessing.set_int_custom_property(BLESSED, int(blessed))
    blessing.set_int_custom_property(CURRENT_MODEL_ID, model.id)
    blessing.set_string_custom_property(CURRENT_MODEL, model.uri)
    if baseline is not None:
        blessing.set_int_custom_property('baseline_model_id', baseline.id)
        blessing.set_string_custom_property('baseline_model', baseline.uri)
    folder = folder_of(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)  # Vertex AI makes none
    (folder / (_BLESSED_FILE if blessed else _NOT_BLESSED_FILE)).touch()


def _tell(verdict: Verdict) -> None:
    """Floors that the recipe asks for and that had no vote; whatever else is said at the end."""
    for each in verdict.rulings:
        if each.rule == FLOOR and each.passed is None:
            _log.info(each.reason)
