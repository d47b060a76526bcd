"""Measures converted models on the test images whose predictions are stored."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tfx.components.util import model_utils
from tfx.types import Artifact

from common.artifacts import folder_of
from common.files import MEGABYTE
from common.manual_override import is_blessed
from components.conversion.results import ConversionResult, ConvertedModel
from components.conversion.sample import read_pixels
from components.evaluation.held_out.held_out_files import read_dropped
from components.evaluation.predictions.prediction_files import candidate_rows, sample_of
from components.evaluation.predictions.split_images import files_of_split
from components.evaluation.results import CANDIDATE, wilson


class StoredPredictions(NamedTuple):
    """Test images, without their pixels, and what the SavedModel predicts."""

    keys: list[str]  # digests
    labels: np.ndarray  # int64 [n]
    predicted: np.ndarray  # int64 [n], -1 for NaN


class JudgedImages(NamedTuple):
    """Test images and what the SavedModel predicts."""

    pixels: np.ndarray  # uint8 [n, size, size, 3]
    labels: np.ndarray  # int64 [n]
    predicted: np.ndarray  # int64 [n], -1 for NaN


class Conversion(NamedTuple):
    """A conversion: the name of the format, its file, and a function that runs the model.

    The function takes images, uint8 [n, size, size, 3], and returns float32 probabilities, [n, 1]
    for two classes, [n, classes] for three or more.
    """

    format: str
    file: Path
    probabilities: Callable[[np.ndarray], np.ndarray]


def reason_to_skip(
    model: Artifact, model_blessing: Artifact, stored: StoredPredictions
) -> str | None:
    """Returns why a model is not converted; None if it is.

    A model that is not pushed needs no other formats. A manual override precedes the gate.
    """
    if not is_blessed(folder_of(model.uri), model_utils.is_model_blessed(model_blessing)):
        return 'the model is not blessed'
    return None if stored.keys else 'no test image is left'


def read_stored(predictions: Artifact, held_out: Artifact, most: int) -> StoredPredictions:
    """Reads at most `most` stored predictions, without the images that are left out."""
    dropped = read_dropped(folder_of(held_out.uri))
    rows = sample_of(candidate_rows(folder_of(predictions.uri), dropped), most)
    return StoredPredictions(
        [row.key for row in rows],
        np.array([row.label for row in rows], int),
        np.array([row.predicted[CANDIDATE] for row in rows], int),
    )


def read_images(stored: StoredPredictions, examples: Sequence[Artifact], size: int) -> JudgedImages:
    """Reads the pixels of the images, `size` pixels wide, from the split 'test' of `examples`."""
    files = files_of_split([folder_of(each.uri) for each in examples], 'test')
    return JudgedImages(read_pixels(files, stored.keys, size), stored.labels, stored.predicted)


def measure(
    conversions: Sequence[Conversion], tested: JudgedImages, threshold: float, max_drop: float
) -> ConversionResult:
    """Evaluates converted models on the same test images as the SavedModel."""
    correct = int((tested.predicted == tested.labels).sum())
    return ConversionResult(
        images=len(tested.labels),
        max_drop=max_drop,
        saved_model=wilson(correct, len(tested.labels)),
        models=tuple(_measure(each, tested, threshold, max_drop) for each in conversions),
    )


def _measure(
    conversion: Conversion, tested: JudgedImages, threshold: float, max_drop: float
) -> ConvertedModel:
    images, labels, original = tested
    start = time.perf_counter()
    predicted = _labels(conversion.probabilities(images), threshold)
    seconds = time.perf_counter() - start
    correct, originally_correct = (int((each == labels).sum()) for each in (predicted, original))
    return ConvertedModel(
        format=conversion.format,
        file=conversion.file.name,
        megabytes=conversion.file.stat().st_size / MEGABYTE,
        accuracy=wilson(correct, len(labels)),
        agreement=float((predicted == original).mean()),
        milliseconds=seconds / len(images) * 1000,
        within_bound=originally_correct - correct <= max_drop * len(labels),
    )


def _labels(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Predicted labels [n]; -1 where a probability is NaN."""
    binary = probability.shape[1] == 1
    labels = probability[:, 0] >= threshold if binary else probability.argmax(axis=1)
    return np.where(np.isfinite(probability).all(axis=1), labels, -1)
