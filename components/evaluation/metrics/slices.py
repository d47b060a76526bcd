"""Names of an image's slices: class, source, and bins of brightness, sharpness, size and aspect."""

from collections.abc import Mapping
from typing import Any

import numpy as np

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


def slices_of(measures: Mapping[str, Any]) -> dict[str, str]:
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
