"""LiteConverter component: converts a SavedModel to TensorFlow Lite and measures accuracy."""

import logging
import time
from pathlib import Path
from typing import List, NamedTuple  # noqa: UP035

import numpy as np
import tensorflow_transform as tft
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from common.artifacts import folder_of
from common.files import MEGABYTE
from components.evaluation.held_out.component import HeldOutImages
from components.evaluation.held_out.held_out_files import read_dropped
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import candidate_rows, sample_of
from components.evaluation.predictions.split_images import files_of_split
from components.evaluation.results import CANDIDATE, wilson
from components.lite_converter import conversion
from components.lite_converter.config import LiteConfig
from components.lite_converter.lite_results import LITE_FILE, LiteModel, LiteResult
from components.lite_converter.sample import read_pixels, representative_images
from trainer.data.dataset import open_splits

_log = logging.getLogger(__name__)


class LiteModels(Artifact):
    """TensorFlow Lite models and `lite.json`, a `LiteResult`."""

    TYPE_NAME = 'catdog.LiteModels'


@component
def LiteConverter(
    model: InputArtifact[standard_artifacts.Model],
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
    """Writes a model per format, and `lite.json` with their accuracy.

    A model with a drop of accuracy above `max_drop` is written too, but not pushed. `lite` is a
    `LiteConfig` as JSON. Train images of `examples`, the newest span, calibrate int8; images of the
    split `test` of `test_examples` measure the accuracy, next to the stored `predictions` of the
    SavedModel. `held_out` leaves out some.
    """
    config = LiteConfig.model_validate_json(lite)
    patterns = {'train': [str(folder_of(examples.uri) / 'Split-train' / '*')]}
    splits = open_splits(patterns, tft.TFTransformOutput(str(folder_of(transform_graph.uri))))
    calibration = representative_images(splits['train'], config.representative_images)
    dropped = read_dropped(folder_of(held_out.uri))
    rows = sample_of(candidate_rows(folder_of(predictions.uri), dropped), config.test_images)
    if not rows:
        _log.info('no TensorFlow Lite model: no test image is left')
        nothing = LiteResult(
            images=0, max_drop=config.max_drop, saved_model=wilson(0, 0), models=()
        )
        write_result(nothing, folder_of(lite_model.uri))
        return
    files = files_of_split([folder_of(each.uri) for each in test_examples], 'test')
    images = read_pixels(files, [row.key for row in rows], calibration.shape[1])
    saved_model = folder_of(path_utils.serving_model_path(model.uri))
    tested = JudgedImages(
        images,
        labels=np.array([row.label for row in rows]),
        predicted=np.array([row.predicted[CANDIDATE] for row in rows]),
    )
    write_lite_models(
        saved_model, calibration, tested, config, threshold, folder_of(lite_model.uri)
    )


class JudgedImages(NamedTuple):
    """Test images and what the SavedModel predicts."""

    pixels: np.ndarray  # uint8 [n, size, size, 3]
    labels: np.ndarray  # int64 [n]
    predicted: np.ndarray  # int64 [n], -1 for NaN


def write_lite_models(
    saved_model: Path,
    representative: np.ndarray,
    tested: JudgedImages,
    config: LiteConfig,
    threshold: float,
    folder: Path,
) -> LiteResult:
    """Converts a SavedModel and evaluates all models on the same test images.

    `representative` are the calibration images, uint8 [n, size, size, 3].
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, labels, original = tested
    originally_correct = int((original == labels).sum())
    models = []
    for kind in config.formats:
        contents = conversion.convert(saved_model, kind, representative)
        (folder / f'{kind}.tflite').write_bytes(contents)
        start = time.perf_counter()
        predicted = _labels(conversion.probabilities(contents, images), threshold)
        seconds = time.perf_counter() - start
        correct = int((predicted == labels).sum())
        models.append(
            LiteModel(
                format=kind,
                file=f'{kind}.tflite',
                megabytes=len(contents) / MEGABYTE,
                accuracy=wilson(correct, len(labels)),
                agreement=float((predicted == original).mean()),
                milliseconds=seconds / len(images) * 1000,
                within_bound=originally_correct - correct <= config.max_drop * len(labels),
            )
        )
    result = LiteResult(
        images=len(labels),
        max_drop=config.max_drop,
        saved_model=wilson(originally_correct, len(labels)),
        models=tuple(models),
    )
    write_result(result, folder)
    _log.info(result.describe())
    return result


def write_result(result: LiteResult, folder: Path) -> None:
    """Writes the result to an artifact's folder."""
    (folder / LITE_FILE).write_text(result.model_dump_json(indent=1))


def _labels(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Predicted labels [n]; -1 where a probability is NaN."""
    binary = probability.shape[1] == 1
    labels = probability[:, 0] >= threshold if binary else probability.argmax(axis=1)
    return np.where(np.isfinite(probability).all(axis=1), labels, -1)
