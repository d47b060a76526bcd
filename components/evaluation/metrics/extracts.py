"""Converts stored predictions to TFMA's extracts. Imports no TFX, which Beam's workers may lack."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma

from components.evaluation.metrics.slices import slices_of
from components.evaluation.predictions.prediction_files import PredictedRow, read_rows


def read_extracts(
    group: int, files: dict[str, Path], dropped: frozenset[str]
) -> Iterator[dict[str, Any]]:
    """Reads a row group as TFMA's extracts."""
    return map(_extract, read_rows(files, dropped, [group]))


def _extract(row: PredictedRow) -> dict[str, Any]:
    slices = {name: np.array([each]) for name, each in slices_of(row.measures).items()}
    return {
        tfma.FEATURES_KEY: slices,
        tfma.LABELS_KEY: np.array([row.label]),
        tfma.PREDICTIONS_KEY: {
            name: (row.predicted[name], row.probability[name]) for name in row.predicted
        },
        tfma.EXAMPLE_WEIGHTS_KEY: np.ones(1),
    }
