"""LiteConverter component: converts a SavedModel to TensorFlow Lite and measures accuracy."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow_transform as tft
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from common.artifacts import folder_of
from common.files import MEGABYTE
from components.evaluation.results import wilson
from components.lite_converter import conversion
from components.lite_converter.config import LiteConfig
from components.lite_converter.lite_results import LITE_FILE, LiteModel, LiteResult
from components.lite_converter.sample import sample
from trainer.data.dataset import ImageSplit, open_splits

_log = logging.getLogger(__name__)


class LiteModels(Artifact):
    """TensorFlow Lite models and `lite.json`, a `LiteResult`."""

    TYPE_NAME = 'catdog.LiteModels'


@component
def LiteConverter(
    model: InputArtifact[standard_artifacts.Model],
    examples: InputArtifact[standard_artifacts.Examples],
    transform_graph: InputArtifact[standard_artifacts.TransformGraph],
    lite_model: OutputArtifact[LiteModels],
    lite: Parameter[str],
    threshold: Parameter[float],
    code: Parameter[str],  # part of the cache key
) -> None:
    """Writes a model per format, and `lite.json` with their accuracy.

    A model with a drop of accuracy above `max_drop` is written too, but not pushed. `lite` is a
    `LiteConfig` as JSON; `examples` is the newest span.
    """
    patterns = {
        name: [str(folder_of(examples.uri) / f'Split-{name}' / '*')] for name in ('train', 'test')
    }
    splits = open_splits(patterns, tft.TFTransformOutput(str(folder_of(transform_graph.uri))))
    saved_model = folder_of(path_utils.serving_model_path(model.uri))
    config = LiteConfig.model_validate_json(lite)
    write_lite_models(saved_model, splits, config, threshold, folder_of(lite_model.uri))


def write_lite_models(
    saved_model: Path,
    splits: Mapping[str, ImageSplit],
    config: LiteConfig,
    threshold: float,
    folder: Path,
) -> LiteResult:
    """Converts a SavedModel and evaluates all models on the same test images."""
    folder.mkdir(parents=True, exist_ok=True)
    representative, _ = sample(splits['train'], config.representative_images, of_each_class=True)
    images, labels = sample(splits['test'], config.test_images)
    original = _labels(conversion.probabilities_of_saved_model(saved_model, images), threshold)
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
    (folder / LITE_FILE).write_text(result.model_dump_json(indent=1))
    _log.info(result.describe())
    return result


def _labels(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Predicted labels [n]; -1 where a probability is NaN."""
    binary = probability.shape[1] == 1
    labels = probability[:, 0] >= threshold if binary else probability.argmax(axis=1)
    return np.where(np.isfinite(probability).all(axis=1), labels, -1)
