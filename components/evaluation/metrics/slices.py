"""Slicing features: class, source, and bins of brightness, sharpness, size and aspect.

TFX's Evaluator calls `custom_extractors` (its `module_path`). It adds features to the extracts,
named as in SLICED_BY, which TFMA slices by.
"""

import json
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.extractors.slice_key_extractor import (
    SLICE_KEY_EXTRACTOR_STAGE_NAME,
)

from common import features
from components.evaluation.config import CLASS, SLICES, SOURCE, SliceEdges

_COPIED = {CLASS: features.CLASS_NAME, SOURCE: features.SOURCE}
_BINNED = {
    'brightness': features.BRIGHTNESS,
    'sharpness': features.SHARPNESS,
    'aspect': features.ASPECT,
}


def custom_extractors(
    eval_shared_model: Any, eval_config: tfma.EvalConfig, tensor_adapter_config: Any
) -> list[tfma.extractors.Extractor]:
    """TFMA's default extractors, with ours inserted before the slice key extractor.

    The bin edges come from the configuration of the metric.
    """
    extractors = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    metric = json.loads(eval_config.metrics_specs[0].metrics[0].config)
    edges = SliceEdges.model_validate(metric['edges'])
    stages = [each.stage_name for each in extractors]
    place = stages.index(SLICE_KEY_EXTRACTOR_STAGE_NAME)
    ours = tfma.extractors.Extractor('ExtractSlices', beam.Map(_with_slices, edges))
    return [*extractors[:place], ours, *extractors[place:]]


def _with_slices(extracts: dict[str, Any], edges: SliceEdges) -> dict[str, Any]:
    known = extracts[tfma.FEATURES_KEY]
    slices = {name: np.array([each]) for name, each in slices_of(known, edges).items()}
    return {**extracts, tfma.FEATURES_KEY: {**known, **slices}}


def slices_of(values: dict[str, Any], edges: SliceEdges) -> dict[str, bytes | str]:
    """Names of an image's slices by slicing feature, without features that the record lacks.

    Args:
        values: features of the record, each an array with at most one value.
        edges: bin edges.
    """
    found = {name: _text(_only(values, feature)) for name, feature in _COPIED.items()}
    numbers = {name: _only(values, feature) for name, feature in _BINNED.items()}
    height, width = _only(values, features.HEIGHT), _only(values, features.WIDTH)
    if height is not None and width is not None:
        numbers['size'] = height * width / 1e6
    for name, number in numbers.items():
        if number is not None:
            cut = np.float32(getattr(edges, name))  # the precision of the records
            found[name] = SLICES[name][int(np.digitize(np.float32(number), cut))]
    return {name: each for name, each in found.items() if each is not None}


def _text(name: bytes | str | None) -> bytes | str | None:
    """Valid UTF-8, as TFMA requires; folder names on Linux may be any bytes."""
    return name.decode(errors='replace').encode() if isinstance(name, bytes) else name


def _only(values: dict[str, Any], name: str) -> Any:
    array = np.asarray(values.get(name, ())).ravel()
    return array[0] if array.size else None
