"""Makes TensorFlow Lite models of a SavedModel, and measures what that costs in accuracy."""

import logging
import time
from pathlib import Path

import numpy as np
import tensorflow_transform as tft
from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact
from tfx.utils import path_utils

from common.artifacts import folder_of
from common.files import MEGABYTE
from components.evaluation.metrics.intervals import wilson
from components.lite_converter import conversion as lite_models
from components.lite_converter.config import LiteConfig
from components.lite_converter.lite_results import LITE_FILE, LiteModel, LiteResult
from trainer.data.dataset import ImageSplit, open_splits

_log = logging.getLogger(__name__)


class LiteModels(Artifact):
    """TensorFlow Lite models and what they are worth: `lite.json`, a `LiteResult`."""

    TYPE_NAME = 'catdog.LiteModels'  # Vertex AI wants a prefix


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
    """Writes a file for each format, and `lite.json` with the accuracies.

    A format that is too much worse is written and measured too; only it is not pushed.

    Args:
        model: of the Trainer.
        examples: of the newest span; the splits 'train' and 'test' are used.
        transform_graph: decodes their images as in training.
        lite_model: gets the files.
        lite: a `LiteConfig` as JSON.
        threshold: probability from which on the second of two classes is said.
        code: hash of the code of this component.
    """
    config = LiteConfig.model_validate_json(lite)
    patterns = {
        name: [str(folder_of(examples.uri) / f'Split-{name}' / '*')] for name in ('train', 'test')
    }
    splits = open_splits(patterns, tft.TFTransformOutput(str(folder_of(transform_graph.uri))))
    result = write_lite_models(
        folder_of(path_utils.serving_model_path(model.uri)),
        splits['train'],
        splits['test'],
        config,
        threshold,
        folder_of(lite_model.uri),
    )
    _log.info(in_words(result))


def write_lite_models(
    model: Path,
    train: ImageSplit,
    test: ImageSplit,
    config: LiteConfig,
    threshold: float,
    folder: Path,
) -> LiteResult:
    """Converts a SavedModel, asks all models about the same images, and writes what they say."""
    folder.mkdir(parents=True, exist_ok=True)
    representative, _ = _some(train, config.representative_images)
    images, labels = _some(test, config.test_images)
    said = _labels(lite_models.probabilities_of_saved_model(model, images), threshold)
    accuracy = wilson(int((said == labels).sum()), len(labels))
    written = []
    for kind in config.formats:
        contents = lite_models.convert(model, kind, representative)
        (folder / f'{kind}.tflite').write_bytes(contents)
        start = time.perf_counter()
        found = _labels(lite_models.probabilities(contents, images), threshold)
        right = int((found == labels).sum())
        written.append(
            LiteModel(
                format=kind,
                file=f'{kind}.tflite',
                megabytes=len(contents) / MEGABYTE,
                accuracy=wilson(right, len(labels)),
                agreement=float((found == said).mean()),
                milliseconds=(time.perf_counter() - start) / len(images) * 1000,
                within_bound=int((said == labels).sum()) - right <= config.max_drop * len(labels),
            )
        )
    result = LiteResult(
        images=len(labels), max_drop=config.max_drop, saved_model=accuracy, models=tuple(written)
    )
    (folder / LITE_FILE).write_text(result.model_dump_json(indent=1))
    return result


def in_words(result: LiteResult) -> str:
    """Accuracies of all formats, for a person."""
    of_all = [
        f'{each.format} {each.accuracy.value:.4f} ({each.megabytes:.1f} MB'
        f'{"" if each.within_bound else ", too far below: not pushed"})'
        for each in result.models
    ]
    beside = f'beside {result.saved_model.value:.4f} of the SavedModel'
    return f'accuracy on {result.images:,} test images: {", ".join(of_all)}, {beside}'


def _labels(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Of the classes that are said, [n]; -1 where the answer is no number."""
    one = probability.shape[1] == 1
    said = probability[:, 0] >= threshold if one else probability.argmax(axis=1)
    return np.where(np.isfinite(probability).all(axis=1), said, -1)


def _some(split: ImageSplit, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of a split and their labels; what is in it has no order."""
    batches = split.batches(min(most, 64)).unbatch().take(most).batch(most)
    images, labels = next(iter(batches))
    return images.numpy(), labels.numpy().ravel().astype(np.int64)
