"""Evaluator component: measures stored predictions with TFMA."""

from collections.abc import Mapping
from pathlib import Path

import apache_beam as beam
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.extractors.slice_key_extractor import SliceKeyExtractor
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts

from common import features
from common.artifacts import folder_of
from components.evaluation.held_out.component import HeldOutImages
from components.evaluation.held_out.held_out_files import read_dropped
from components.evaluation.metrics.classifier_metrics import eval_config
from components.evaluation.metrics.extracts import read_extracts
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import PREDICTIONS_FILE
from components.evaluation.results import ANCHOR, BASELINE, CANDIDATE


@component(use_beam=True)
def Evaluator(
    predictions: InputArtifact[Predictions],
    baseline_predictions: InputArtifact[Predictions],
    anchor_predictions: InputArtifact[Predictions],
    held_out: InputArtifact[HeldOutImages],
    evaluation: OutputArtifact[standard_artifacts.ModelEvaluation],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Computes the metrics of the candidate and the models that it is compared with.

    TFX's Evaluator runs the models itself, and at most two; this one reads the predictions that
    Predictor stored, of up to three. Measures only: ModelGate decides. The output is that of TFX's
    Evaluator, without a blessing. `held_out` states which test images are left out.

    If no test image is left, no metrics are written, and the gate blesses nothing.

    Raises:
        ModelError: the predictions are not on the same images.
    """
    dropped = read_dropped(folder_of(held_out.uri))
    stored = {
        CANDIDATE: predictions,
        BASELINE: baseline_predictions,
        ANCHOR: anchor_predictions,
    }
    files = {name: folder_of(each.uri) / PREDICTIONS_FILE for name, each in stored.items()}
    files = {name: file for name, file in files.items() if file.exists()}
    images = predictions.get_string_custom_property(features.TEST_IMAGES)
    evaluation.set_string_custom_property(features.TEST_IMAGES, images)
    with beam_pipeline as pipeline:
        measure(files, dropped, evaluation.uri, pipeline)


def measure(
    files: Mapping[str, Path], dropped: frozenset[str], output: str, pipeline: beam.Pipeline
) -> None:
    """Writes the metrics of predictions, given by the name of the model, with TFMA."""
    config = eval_config(tuple(files))
    _ = (
        pipeline
        | beam.Create([dict(files)])
        | beam.FlatMap(read_extracts, dropped)
        | tfma.ExtractEvaluateAndWriteResults(
            eval_config=config,
            extractors=[SliceKeyExtractor(eval_config=config)],
            output_path=output,
        )
    )
