"""ModelGate component: blesses or rejects a model and records the reasons."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import List  # noqa: UP035  # TFX requires List

import numpy as np
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, standard_artifacts

from common.artifacts import folder_of
from common.blessing import record_decision
from common.features import HISTORY
from components.evaluation.comparison import compare
from components.evaluation.config import EvaluationConfig
from components.evaluation.gate.decision import DECISION_FILE
from components.evaluation.gate.rules import decide
from components.evaluation.metrics.evaluation_files import reaches_minimum, read_evaluation
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import (
    PredictedRow,
    prediction_paths,
    read_rows,
)
from components.evaluation.results import CANDIDATE, REFERENCE, Comparison
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements


class GateDecisions(Artifact):
    """`gate_decision.json`: a `components.evaluation.gate.decision.GateDecision`."""

    TYPE_NAME = 'catdog.GateDecisions'


@component
def ModelGate(
    model: InputArtifact[standard_artifacts.Model],
    model_run: InputArtifact[standard_artifacts.ModelRun],
    predictions: InputArtifact[Predictions],
    reference_predictions: InputArtifact[Predictions],
    evaluation: InputArtifact[standard_artifacts.ModelEvaluation],
    infra_blessing: InputArtifact[standard_artifacts.InfraBlessing],
    config: Parameter[str],
    classes: Parameter[List[str]],  # noqa: UP006
    threshold: Parameter[float],
    blessing: OutputArtifact[standard_artifacts.ModelBlessing],
    gate_decision: OutputArtifact[GateDecisions],
    reference_model: InputArtifact[standard_artifacts.Model] = None,
) -> None:
    """Blesses a model that no rule blocks; the blessing is like that of TFX's Evaluator.

    `infra_blessing` is the output of ServingCheck, `model_run` that of the Trainer. `config` is an
    `EvaluationConfig` as JSON, `classes` are the class names by label.
    """
    settings = EvaluationConfig.model_validate_json(config)
    folder, measured = (folder_of(each.uri) for each in (evaluation, infra_blessing))
    files = prediction_paths(folder_of(predictions.uri), folder_of(reference_predictions.uri))
    decision = decide(
        read_evaluation(folder, classes, threshold),
        reaches_minimum(folder),
        compare_rows([*read_rows(files)], settings),
        Measurements.model_validate_json((measured / MEASUREMENTS_FILE).read_bytes()),
        settings,
        read_validation_accuracy(folder_of(model_run.uri) / HISTORY),
    )
    decision.write(folder_of(gate_decision.uri) / DECISION_FILE)
    record_decision(
        blessing.mlmd_artifact,
        decision.blessed,
        model.mlmd_artifact,
        reference_model.mlmd_artifact if reference_model else None,
    )


def compare_rows(rows: Sequence[PredictedRow], config: EvaluationConfig) -> Comparison | None:
    """Compares the stored predictions of two models.

    Returns None if there is no reference model, or no image.
    """
    if not rows or REFERENCE not in rows[0].predicted:
        return None
    return compare(
        np.array([row.label for row in rows]),
        *(np.array([row.predicted[name] for row in rows]) for name in (CANDIDATE, REFERENCE)),
        metric=config.metric,
        margin=config.margin,
        groups=np.array([row.group for row in rows], np.uint64),
    )


def read_validation_accuracy(history: Path) -> float | None:
    """Accuracy on the validation split at the epoch that was kept; None if none improved."""
    kept = [each for each in json.loads(history.read_bytes()) if each['best_epoch']]
    return kept[-1]['metrics']['val_accuracy'][kept[-1]['best_epoch'] - 1] if kept else None
