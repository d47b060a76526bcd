"""Converter component: converts a SavedModel to other formats and measures their accuracy."""

import logging
from typing import List  # noqa: UP035  # TFX requires List

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact

from common.artifacts import SERVED, folder_of
from common.blessing import is_blessed
from components.cache_key_driver import OverrideDriver
from components.conversion.conversion_results import RESULT_FILE, ConversionResult
from components.conversion.formats import write_models
from components.conversion.images import read_calibration_images, read_pixels
from components.conversion.measurement import measure_models
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import (
    prediction_paths,
    read_rows,
    sample_of,
)
from components.evaluation.predictions.split_images import files_of_split
from components.inference.classifier import load_classifier

CONVERTED_MODELS = 'converted_models'  # key of the output

_log = logging.getLogger(__name__)


class ConvertedModels(Artifact):
    """Models in other formats, `labels.txt`, and `conversion.json`, a `ConversionResult`."""

    TYPE_NAME = 'catdog.ConvertedModels'


class ConverterDriver(OverrideDriver):
    """Adds the manual override of the model to the cache key."""

    output = CONVERTED_MODELS


@component
def Converter(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006
    test_examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006
    predictions: InputArtifact[Predictions],
    converted_models: OutputArtifact[ConvertedModels],
    formats: Parameter[List[str]],  # noqa: UP006
    max_drop: Parameter[float],
    calibration_images: Parameter[int],
    test_images: Parameter[int],
    threshold: Parameter[float],
    resize: Parameter[str],
) -> None:
    """Writes a model per format, and their accuracy, if the model is blessed.

    A model that is not pushed needs no other formats. A manual override precedes the gate. A model
    with a drop of accuracy above `max_drop` is written too, but not pushed. Train images of
    `examples`, the spans of the training, calibrate int8; images of the split `test` of
    `test_examples` measure the accuracy, next to the stored `predictions` of the SavedModel. The
    parameters are the keys of `ConverterConfig`, and `threshold` and `resize` of the Trainer.
    """
    folder = folder_of(converted_models.uri)
    folder.mkdir(parents=True, exist_ok=True)
    rows = sample_of(read_rows(prediction_paths(folder_of(predictions.uri))), test_images)
    reason = None if rows else 'no test image is left'
    if not is_blessed(model.mlmd_artifact, model_blessing.mlmd_artifact):
        reason = 'the model is not blessed'
    result = ConversionResult(max_drop=max_drop, skipped=reason)
    if reason is None:
        classifier = load_classifier(folder_of(model.uri) / SERVED)
        size, calibration = classifier.image_size, None
        if 'int8' in formats:
            trained = [folder_of(each.uri) for each in examples]
            calibration = read_calibration_images(trained, calibration_images, size, resize)
        write_models(classifier, formats, calibration, folder)
        files = files_of_split([folder_of(each.uri) for each in test_examples], 'test')
        pixels = read_pixels(files, [row.key for row in rows], size, resize)
        result = measure_models(formats, rows, pixels, threshold, max_drop, folder)
    result.write(folder / RESULT_FILE)
    _log.info(result.describe())


Converter.DRIVER_CLASS = ConverterDriver
