"""What a test image is sliced by: its class, its source, and its measures cut into three.

TFX's Evaluator gets `custom_extractors` by the name of this module. The slices are made of features
of the records, and are features themselves for TFMA, which knows them by the names of SLICED_BY.
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
_CUT = {
    'brightness': features.BRIGHTNESS,
    'sharpness': features.SHARPNESS,
    'aspect': features.ASPECT,
}


def custom_extractors(
    eval_shared_model: Any, eval_config: tfma.EvalConfig, tensor_adapter_config: Any
) -> list[tfma.extractors.Extractor]:
    """TFMA's extractors, with that of the slices before the one that looks for slices.

    The edges are those that the recipe gave to the metric.
    """
    given = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    metric = json.loads(eval_config.metrics_specs[0].metrics[0].config)
    edges = SliceEdges.model_validate(metric['edges'])
    stages = [each.stage_name for each in given]
    place = stages.index(SLICE_KEY_EXTRACTOR_STAGE_NAME)
    ours = tfma.extractors.Extractor('ExtractSlices', beam.Map(_with_slices, edges))
    return [*given[:place], ours, *given[place:]]


def _with_slices(extracts: dict[str, Any], edges: SliceEdges) -> dict[str, Any]:
    known = extracts[tfma.FEATURES_KEY]
    slices = {name: np.array([each]) for name, each in slices_of(known, edges).items()}
    return {**extracts, tfma.FEATURES_KEY: {**known, **slices}}


def slices_of(values: dict[str, Any], edges: SliceEdges) -> dict[str, bytes | str]:
    """The slices of one image by what they are made of; none by a feature that it lacks.

    Args:
        values: features of its record, each an array with one value, or with none.
        edges: where numbers are cut.
    """
    found = {name: _text(_only(values, feature)) for name, feature in _COPIED.items()}
    numbers = {name: _only(values, feature) for name, feature in _CUT.items()}
    height, width = _only(values, features.HEIGHT), _only(values, features.WIDTH)
    if height is not None and width is not None:
        numbers['size'] = height * width / 1e6
    for name, number in numbers.items():
        if number is not None:
            cut = np.float32(getattr(edges, name))  # as records have numbers
            found[name] = SLICES[name][int(np.digitize(np.float32(number), cut))]
    return {name: each for name, each in found.items() if each is not None}


def _text(name: bytes | str | None) -> bytes | str | None:
    """TFMA refuses what is not UTF-8, and a folder on Linux may be called anything."""
    return name.decode(errors='replace').encode() if isinstance(name, bytes) else name


def _only(values: dict[str, Any], name: str) -> Any:
    given = np.asarray(values.get(name, ())).ravel()
    return given[0] if given.size else None
