"""Compares converted models with the SavedModel on the same test images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.files import MEGABYTE
from components.conversion.conversion_results import ConversionResult, ConvertedModel
from components.conversion.converter_config import FILES, Format
from components.conversion.formats import scores_of
from components.evaluation.predictions.prediction_files import PredictedRow
from components.evaluation.results import CANDIDATE, wilson


def measure_models(
    kinds: Sequence[Format],
    tested: Sequence[PredictedRow],
    pixels: np.ndarray,
    threshold: float,
    max_drop: float,
    folder: Path,
) -> ConversionResult:
    """Evaluates the models in a folder on test images, next to the predictions of the SavedModel.

    `pixels` are the images, uint8 [n, size, size, 3]; `threshold` is the minimum score of the
    second of two classes.
    """
    count, labels = len(tested), np.array([row.label for row in tested])
    saved_model = np.array([row.predicted[CANDIDATE] for row in tested])
    before = int((saved_model == labels).sum())
    models = []
    for kind in kinds:
        contents = (folder / FILES[kind]).read_bytes()
        scores, seconds = scores_of(kind, contents, pixels)
        predicted = _labels(scores, threshold)
        correct = int((predicted == labels).sum())
        model = ConvertedModel(
            format=kind,
            file=FILES[kind],
            megabytes=len(contents) / MEGABYTE,
            accuracy=wilson(correct, count),
            agreement=float((predicted == saved_model).mean()),
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
