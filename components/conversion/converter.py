"""Converter component: converts a SavedModel to other formats and measures their accuracy."""

from typing import List  # noqa: UP035  # TFX requires List

import numpy as np
from tfx.components.util import model_utils
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from common.artifacts import folder_of
from common.manual_override import is_blessed
from components.cache_key_driver import OverrideDriver
from components.conversion.conversion_results import ConversionResult
from components.conversion.formats import write_models
from components.conversion.images import read_calibration_images, read_pixels
from components.conversion.measurement import JudgedImages, measure_models
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import (
    prediction_paths,
    read_rows,
    sample_of,
)
from components.evaluation.predictions.split_images import files_of_split
from components.evaluation.results import CANDIDATE
from components.inference.classifier import load_classifier

CONVERTED_MODELS = 'converted_models'  # key of the output


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
    parameters are the keys of `ConverterConfig`, and `threshold`
    and `resize` of the Trainer.
    """
    folder = folder_of(converted_models.uri)
    folder.mkdir(parents=True, exist_ok=True)
    rows = sample_of(read_rows(prediction_paths(folder_of(predictions.uri))), test_images)
    by_gate = model_utils.is_model_blessed(model_blessing)
    reason = None if rows else 'no test image is left'
    if not is_blessed(folder_of(model.uri), by_gate):
        reason = 'the model is not blessed'
    if reason:
        ConversionResult(max_drop=max_drop, skipped=reason).write(folder)
        return
    classifier = load_classifier(folder_of(path_utils.serving_model_path(model.uri)))
    size = classifier.image_size
    files = files_of_split([folder_of(each.uri) for each in test_examples], 'test')
    tested = JudgedImages(
        read_pixels(files, [row.key for row in rows], size, resize),
        np.array([row.label for row in rows], int),
        np.array([row.predicted[CANDIDATE] for row in rows], int),
    )
    calibration = None
    if 'int8' in formats:
        trained = [folder_of(each.uri) for each in examples]
        calibration = read_calibration_images(trained, calibration_images, size, resize)
    write_models(classifier, formats, calibration, folder)
    measure_models(formats, tested, threshold, max_drop, folder).write(folder)


Converter.DRIVER_CLASS = ConverterDriver
