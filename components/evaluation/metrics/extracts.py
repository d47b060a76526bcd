"""Converts stored predictions to TFMA's extracts. Imports no TFX, which Beam's workers may lack."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma

from common import features
from components.evaluation.config import CLASS, EDGES, SLICES, SOURCE
from components.evaluation.metrics.estimates import Judged
from components.evaluation.predictions.prediction_files import PredictedRow, read_rows

_SIZE = 'megapixels'  # computed
_COPIED = {CLASS: features.CLASS_NAME, SOURCE: features.SOURCE}
_BINNED = {
    'brightness': features.BRIGHTNESS,
    'sharpness': features.SHARPNESS,
    'size': _SIZE,
    'aspect': features.ASPECT,
}


def read_extracts(files: dict[str, Path]) -> Iterator[dict[str, Any]]:
    """Reads the predictions of several models, by name, as TFMA's extracts."""
    return map(_extract, read_rows(files))


def _extract(row: PredictedRow) -> dict[str, Any]:
    slices = {name: np.array([each]) for name, each in _slices_of(row.measures).items()}
    label = np.array([row.label])
    return {
        tfma.FEATURES_KEY: slices,
        tfma.LABELS_KEY: label,
        tfma.PREDICTIONS_KEY: {
            name: Judged(label, np.array([predicted]), row.probability[name][np.newaxis])
            for name, predicted in row.predicted.items()
        },
        tfma.EXAMPLE_WEIGHTS_KEY: np.ones(1),
    }


def _slices_of(measures: Mapping[str, Any]) -> dict[str, str]:
    """Slice names by feature of SLICED_BY, without those whose measures are missing."""
    values = dict(measures)
    if features.HEIGHT in values and features.WIDTH in values:
        values[_SIZE] = values[features.HEIGHT] * values[features.WIDTH] / 1e6
    slices = {name: values[feature] for name, feature in _COPIED.items() if feature in values}
    for name, feature in _BINNED.items():
        if feature in values:
            cut = np.array(EDGES[name], np.float32)  # the precision of the records
            slices[name] = SLICES[name][int(np.digitize(np.float32(values[feature]), cut))]
    return slices
