"""Evaluator component: measures stored predictions with TFMA."""

from pathlib import Path

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.evaluators.metrics_plots_and_validations_evaluator import (
    MetricsPlotsAndValidationsEvaluator,
)
from tensorflow_model_analysis.extractors.slice_key_extractor import SliceKeyExtractor
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from common.artifacts import folder_of
from components.evaluation.config import EvaluationConfig
from components.evaluation.metrics.classifier_metrics import eval_config, read_extracts
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import prediction_paths, read_labels
from components.evaluation.results import CANDIDATE


@component(use_beam=True)
def Evaluator(
    predictions: InputArtifact[Predictions],
    reference_predictions: InputArtifact[Predictions],
    evaluation: OutputArtifact[standard_artifacts.ModelEvaluation],
    config: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Computes the metrics of the candidate and the reference model, and checks the minimum.

    TFX's Evaluator runs the models itself; this one reads the predictions that Predictor stored.
    The output is that of TFX's Evaluator, with TFMA's validation result, but without a blessing:
    ModelGate decides. `config` is an `EvaluationConfig` as JSON; only its metric and minimum count.
    If no test image is left, no metrics are written, and the gate blesses nothing.
    """
    files = prediction_paths(folder_of(predictions.uri), folder_of(reference_predictions.uri))
    measure(files, EvaluationConfig.model_validate_json(config), evaluation.uri, beam_pipeline)


def measure(
    files: dict[str, Path], config: EvaluationConfig, output: str, beam_pipeline: beam.Pipeline
) -> None:
    """Writes the metrics of stored predictions, given by name of the model, to a folder."""
    images = np.bincount(read_labels(files[CANDIDATE])).tolist()
    tfma_config = eval_config(tuple(files), config, images)
    with beam_pipeline as pipeline:
        _ = (
            pipeline
            | beam.Create([files])
            | beam.FlatMap(read_extracts)
            | tfma.ExtractAndEvaluate(
                extractors=[SliceKeyExtractor(eval_config=tfma_config)],
                # The default evaluators ignore a baseline that has only stored predictions.
                evaluators=[MetricsPlotsAndValidationsEvaluator(eval_config=tfma_config)],
            )
            | tfma.WriteResults(
                writers=tfma.default_writers(output_path=output, eval_config=tfma_config)
            )
        )
