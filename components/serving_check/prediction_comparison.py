"""Compares predictions."""

from collections.abc import Mapping

import numpy as np

from common import features

TOLERANCE = 1e-5
NUMBERS = (features.PROBABILITY, features.LOGIT)
OUTPUTS = (*NUMBERS, features.CLASS)
Arrays = Mapping[str, np.ndarray]


def compare(actual: Arrays, expected: Arrays) -> tuple[str | None, float | None]:
    """Returns the problem, if any, as one clause, and the largest difference.

    Probabilities may differ by 1e-5. Logits may differ by 1e-5 times the largest expected logit if
    that is above 1, because they are unbounded and float32 has seven digits.

    Args:
        actual: probability, class and logit, one row per image.
        expected: expected outputs of the same shape.
    """
    missing = [key for key in OUTPUTS if key not in actual]
    if missing:
        return f'missing output {", ".join(missing)}', None
    for key in OUTPUTS:
        if actual[key].shape != expected[key].shape:
            shapes = f'{list(actual[key].shape)}, expected {list(expected[key].shape)}'
            return f'{key} has the shape {shapes}', None
    if not all(np.isfinite(each[key]).all() for key in NUMBERS for each in (actual, expected)):
        return 'the prediction for a valid image is NaN or infinite', None
    difference = max(_difference(actual[key], expected[key]) for key in NUMBERS)
    if difference > TOLERANCE:
        return f"predictions differ from the Trainer's by up to {difference:.2g}", difference
    wrong = int((actual[features.CLASS] != expected[features.CLASS]).sum())
    count = len(expected[features.CLASS])
    return (f'{wrong} of {count} predicted classes differ' if wrong else None), difference


def _difference(actual: np.ndarray, expected: np.ndarray) -> float:
    scale = max(1.0, float(np.abs(expected).max()))  # 1 for probabilities
    return float(np.abs(actual.astype(np.float64) - expected).max()) / scale


def marks_invalid(outputs: Arrays, rows: list[int]) -> bool:
    """Whether rows have the outputs of an undecodable image: NaN and an empty class."""
    numbers = all(np.isnan(outputs[key][rows]).all() for key in NUMBERS)
    return numbers and not any(outputs[features.CLASS][rows].ravel())
