"""ModelGate component: blesses or rejects a model and records the reasons."""

import json
import logging

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts

from common.artifacts import folder_of
from common.blessing import record_decision
from components.evaluation.config import EvaluationConfig
from components.evaluation.gate.rules import FLOOR, apply_rules, becomes_anchor
from components.evaluation.gate.verdict import UNDECIDED, Verdict, write_verdict
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements

_log = logging.getLogger(__name__)


class ModelVerdict(Artifact):
    """Results of the gate's rules: a `components.evaluation.gate.verdict.Verdict` as JSON."""

    TYPE_NAME = 'catdog.ModelVerdict'


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
    baseline_model: InputArtifact[standard_artifacts.Model] = None,
    anchor_model: InputArtifact[standard_artifacts.Model] = None,
) -> None:
    """Blesses a model that no rule blocks; the blessing is like that of TFX's Evaluator.

    `infra_blessing` is the output of ServingCheck, `baseline_model` the live model, and
    `anchor_model` the best model so far, if it is not the live one. The blessing states which model
    is the best from then on. `config` is an `EvaluationConfig` and `classes` the class names by
    label, as JSON.
    """
    measured = folder_of(infra_blessing.uri) / MEASUREMENTS_FILE
    names = tuple(json.loads(classes))
    evaluated = read_evaluation(folder_of(evaluation.uri), names, threshold)
    if anchor_model and anchor_model.id == model.id:  # an earlier model, trained from the cache
        evaluated = evaluated.model_copy(update={'anchor': None})  # not compared with itself
    result = apply_rules(
        evaluated,
        Measurements.model_validate_json(measured.read_bytes()),
        EvaluationConfig.model_validate_json(config),
    )
    write_verdict(result, folder_of(verdict.uri))
    best = model if becomes_anchor(evaluated, result) else anchor_model or baseline_model
    record_decision(
        blessing.mlmd_artifact,
        result.blessed,
        model.mlmd_artifact,
        baseline_model.mlmd_artifact if baseline_model else None,
        best.mlmd_artifact if best else None,
    )
    log_undecided(result)


def log_undecided(verdict: Verdict) -> None:
    """Logs what could not be decided and blocks nothing; the summary has what blocks."""
    for each in verdict.rulings:
        if each.result == UNDECIDED and not each.blocks:
            if each.rule == FLOOR:
                _log.info(each.reason)
            else:
                _log.warning(
                    'undecided, and accepted as evaluation.undecided is push: %s', each.reason
                )
