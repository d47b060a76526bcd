"""OnnxConverter component: converts a SavedModel to ONNX and measures accuracy."""

import functools
from pathlib import Path
from typing import List  # noqa: UP035

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from common.artifacts import folder_of
from components.cache_key_driver import OverrideDriver
from components.conversion.measurement import (
    Conversion,
    JudgedImages,
    measure,
    read_images,
    read_stored,
    reason_to_skip,
)
from components.conversion.onnx import conversion
from components.conversion.onnx.config import ONNX_FILE, OnnxConfig
from components.conversion.results import ConversionResult, skipped
from components.evaluation.held_out.component import HeldOutImages
from components.evaluation.predictions.component import Predictions
from components.inference.model_folder import read_classes

ONNX_MODEL = 'onnx_model'  # key of the output


class OnnxModel(Artifact):
    """An ONNX model and `onnx.json`, a `ConversionResult`."""

    TYPE_NAME = 'catdog.OnnxModel'


class OnnxConverterDriver(OverrideDriver):
    """Adds the manual override of the model to the cache key."""

    output = ONNX_MODEL


@component
def OnnxConverter(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    test_examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006  # TFX: List
    predictions: InputArtifact[Predictions],
    held_out: InputArtifact[HeldOutImages],
    onnx_model: OutputArtifact[OnnxModel],
    onnx: Parameter[str],
    image_size: Parameter[int],
    threshold: Parameter[float],
    code: Parameter[str],  # part of the cache key
) -> None:
    """Writes `model.onnx`, and `onnx.json` with its accuracy, if the model is blessed.

    A model with a drop of accuracy above `max_drop` is written too, but not pushed. `onnx` is an
    `OnnxConfig` as JSON. Images of the split `test` of `test_examples` measure the accuracy in
    ONNX Runtime, next to the stored `predictions` of the SavedModel. `held_out` leaves out some.
    """
    config, folder = OnnxConfig.model_validate_json(onnx), folder_of(onnx_model.uri)
    stored = read_stored(predictions, held_out, config.test_images)
    if reason := reason_to_skip(model, model_blessing, stored):
        skipped(reason, config.max_drop).write(folder / ONNX_FILE)
        return
    tested = read_images(stored, test_examples, image_size)
    saved_model = folder_of(path_utils.serving_model_path(model.uri))
    write_onnx_model(saved_model, tested, config, threshold, folder)


OnnxConverter.DRIVER_CLASS = OnnxConverterDriver


def write_onnx_model(
    saved_model: Path, tested: JudgedImages, config: OnnxConfig, threshold: float, folder: Path
) -> ConversionResult:
    """Converts a SavedModel and evaluates both models on the same test images."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = conversion.convert(saved_model, read_classes(saved_model))
    file = folder / 'model.onnx'
    file.write_bytes(contents)
    run = functools.partial(conversion.probabilities, contents)
    result = measure([Conversion('ONNX', file, run)], tested, threshold, config.max_drop)
    result.write(folder / ONNX_FILE)
    return result
