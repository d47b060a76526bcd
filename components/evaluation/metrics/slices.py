"""Slicing features: class, source, and bins of brightness, sharpness, size and aspect.

TFX's Evaluator calls `custom_extractors` (its `module_path`). It adds features to the extracts,
named as in SLICED_BY, which TFMA slices by.
"""

from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.extractors.slice_key_extractor import (
    SLICE_KEY_EXTRACTOR_STAGE_NAME,
)
from tensorflow_model_analysis.proto import config_pb2

from common import features
from components.evaluation.config import CLASS, EDGES, SLICES, SOURCE

_SIZE = 'megapixels'  # computed
_COPIED = {CLASS: features.CLASS_NAME, SOURCE: features.SOURCE}
_BINNED = {
    'brightness': features.BRIGHTNESS,
    'sharpness': features.SHARPNESS,
    'size': _SIZE,
    'aspect': features.ASPECT,
}
_USED = (*_COPIED.values(), *_BINNED.values(), features.HEIGHT, features.WIDTH)


def custom_extractors(
    eval_shared_model: Any, eval_config: config_pb2.EvalConfig, tensor_adapter_config: Any
) -> list[tfma.extractors.Extractor]:
    """TFMA's default extractors, with ours inserted before the slice key extractor."""
    extractors = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    stages = [each.stage_name for each in extractors]
    ours = tfma.extractors.Extractor('ExtractSlices', beam.Map(_add_slices))
    extractors.insert(stages.index(SLICE_KEY_EXTRACTOR_STAGE_NAME), ours)
    return extractors


def _add_slices(extracts: dict[str, Any]) -> dict[str, Any]:
    """Adds the names of an image's slices, without slices by features that the record lacks."""
    known = extracts[tfma.FEATURES_KEY]
    arrays = {name: np.asarray(known.get(name, ())).ravel() for name in _USED}
    values = {name: array[0] for name, array in arrays.items() if array.size}
    if features.HEIGHT in values and features.WIDTH in values:
        values[_SIZE] = values[features.HEIGHT] * values[features.WIDTH] / 1e6
    slices = {}
    for name, feature in _COPIED.items():
        if feature in values:  # TFMA requires UTF-8; folder names on Linux may be any bytes
            slices[name] = values[feature].decode(errors='replace').encode()
    for name, feature in _BINNED.items():
        if feature in values:
            cut = np.array(EDGES[name], np.float32)  # the precision of the records
            slices[name] = SLICES[name][int(np.digitize(np.float32(values[feature]), cut))]
    added = {name: np.array([each]) for name, each in slices.items()}
    return {**extracts, tfma.FEATURES_KEY: {**known, **added}}
