"""Compares converted models with the SavedModel on the same test images."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.files import MEGABYTE
from components.conversion.conversion_results import ConversionResult, ConvertedModel
from components.conversion.converter_config import FILES, Format
from components.conversion.formats import scores_of
from components.evaluation.results import wilson


class JudgedImages(NamedTuple):
    """Test images and what the SavedModel predicts."""

    pixels: np.ndarray  # uint8 [n, size, size, 3]
    labels: np.ndarray  # int64 [n]
    predicted: np.ndarray  # int64 [n], -1 for NaN


def measure_models(
    kinds: Sequence[Format],
    tested: JudgedImages,
    threshold: float,
    max_drop: float,
    folder: Path,
) -> ConversionResult:
    """Evaluates the models in a folder on the same test images as the SavedModel.

    `threshold` is the minimum score of the second of two classes.
    """
    count = len(tested.labels)
    before = int((tested.predicted == tested.labels).sum())
    models = []
    for kind in kinds:
        contents = (folder / FILES[kind]).read_bytes()
        scores, seconds = scores_of(kind, contents, tested.pixels)
        predicted = _labels(scores, threshold)
        correct = int((predicted == tested.labels).sum())
        model = ConvertedModel(
            format=kind,
            file=FILES[kind],
            megabytes=len(contents) / MEGABYTE,
            accuracy=wilson(correct, count),
            agreement=float((predicted == tested.predicted).mean()),
            milliseconds=seconds * 1000,
            within_bound=before - correct <= max_drop * count,
        )
        models.append(model)
    return ConversionResult(
        max_drop=max_drop, images=count, saved_model=wilson(before, count), models=tuple(models)
    )


def _labels(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Predicted labels, int64 [n], of scores, float32 [n, classes]; -1 where one is NaN."""
    binary = scores.shape[1] == 2
    labels = scores[:, 1] >= threshold if binary else scores.argmax(axis=1)
    return np.where(np.isfinite(scores).all(axis=1), labels, -1)
