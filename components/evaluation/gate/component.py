"""Decides whether a model may be pushed, and writes down why."""

import json
import logging

from tfx.components.util import model_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts

from common.artifacts import folder_of
from common.blessing import record_decision
from components.evaluation.config import EvaluationConfig
from components.evaluation.gate.rules import FLOOR, judge
from components.evaluation.gate.verdict import Verdict, write_verdict
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements

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
    code: Parameter[str],  # part of the cache key
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
        code: hash of the code of this component.
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
    record_decision(
        blessing.mlmd_artifact,
        found.blessed,
        model.mlmd_artifact,
        baseline_model.mlmd_artifact if baseline_model else None,
    )
    _tell(found)


def _tell(verdict: Verdict) -> None:
    """Floors that the recipe asks for and that had no vote; whatever else is said at the end."""
    for each in verdict.rulings:
        if each.rule == FLOOR and each.passed is None:
            _log.info(each.reason)
