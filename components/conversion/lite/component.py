"""LiteConverter component: converts a SavedModel to TensorFlow Lite and measures accuracy."""

import functools
from pathlib import Path
from typing import List  # noqa: UP035

import numpy as np
import tensorflow_transform as tft
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from common.artifacts import folder_of
from components.cache_key_driver import OverrideDriver
from components.conversion.lite import conversion
from components.conversion.lite.config import LITE_FILE, LiteConfig
from components.conversion.lite.metadata import add_metadata
from components.conversion.measurement import (
    Conversion,
    JudgedImages,
    measure,
    read_images,
    read_stored,
    reason_to_skip,
)
from components.conversion.results import ConversionResult, skipped
from components.conversion.sample import representative_images
from components.evaluation.held_out.component import HeldOutImages
from components.evaluation.predictions.component import Predictions
from components.inference.model_folder import read_classes
from trainer.data.dataset import open_splits

LITE_MODEL = 'lite_model'  # key of the output


class LiteModels(Artifact):
    """TensorFlow Lite models and `lite.json`, a `ConversionResult`."""

    TYPE_NAME = 'catdog.LiteModels'


class LiteConverterDriver(OverrideDriver):
    """Adds the manual override of the model to the cache key."""

    output = LITE_MODEL


@component
def LiteConverter(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    examples: InputArtifact[standard_artifacts.Examples],
    test_examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006  # TFX: List
    predictions: InputArtifact[Predictions],
    held_out: InputArtifact[HeldOutImages],
    transform_graph: InputArtifact[standard_artifacts.TransformGraph],
    lite_model: OutputArtifact[LiteModels],
    lite: Parameter[str],
    threshold: Parameter[float],
    code: Parameter[str],  # part of the cache key
) -> None:
    """Writes a model per format, and `lite.json` with their accuracy, if the model is blessed.

    A model with a drop of accuracy above `max_drop` is written too, but not pushed. `lite` is a
    `LiteConfig` as JSON. Train images of `examples`, the newest span, calibrate int8; images of the
    split `test` of `test_examples` measure the accuracy, next to the stored `predictions` of the
    SavedModel. `held_out` leaves out some.
    """
    config, folder = LiteConfig.model_validate_json(lite), folder_of(lite_model.uri)
    stored = read_stored(predictions, held_out, config.test_images)
    if reason := reason_to_skip(model, model_blessing, stored):
        skipped(reason, config.max_drop).write(folder / LITE_FILE)
        return
    patterns = {'train': [str(folder_of(examples.uri) / 'Split-train' / '*')]}
    splits = open_splits(patterns, tft.TFTransformOutput(str(folder_of(transform_graph.uri))))
    calibration = representative_images(splits['train'], config.representative_images)
    tested = read_images(stored, test_examples, calibration.shape[1])
    saved_model = folder_of(path_utils.serving_model_path(model.uri))
    write_lite_models(saved_model, calibration, tested, config, threshold, folder)


LiteConverter.DRIVER_CLASS = LiteConverterDriver


def write_lite_models(
    saved_model: Path,
    representative: np.ndarray,
    tested: JudgedImages,
    config: LiteConfig,
    threshold: float,
    folder: Path,
) -> ConversionResult:
    """Converts a SavedModel and evaluates all models on the same test images.

    `representative` are the calibration images, uint8 [n, size, size, 3].
    """
    folder.mkdir(parents=True, exist_ok=True)
    conversions, classes = [], read_classes(saved_model)
    for kind in config.formats:
        contents = conversion.convert(saved_model, kind, representative)
        contents = add_metadata(contents, classes, representative.shape[1])
        file = folder / f'{kind}.tflite'
        file.write_bytes(contents)
        run = functools.partial(conversion.probabilities, contents)
        conversions.append(Conversion(kind, file, run))
    result = measure(conversions, tested, threshold, config.max_drop)
    result.write(folder / LITE_FILE)
    return result
