"""Whether two answers are the same. Imports neither TensorFlow nor TFX."""

from collections.abc import Mapping

import numpy as np

from common import features

TOLERANCE = 1e-5
NUMBERS = (features.PROBABILITY, features.LOGIT)
OUTPUTS = (*NUMBERS, features.CLASS)
Arrays = Mapping[str, np.ndarray]


def compare(answer: Arrays, wanted: Arrays) -> tuple[str | None, float | None]:
    """What is wrong about an answer, as a clause, and its largest difference from the one wanted.

    Probabilities may differ by 1e-5, and logits by 1e-5 times the largest logit of the answer
    where that is more than 1: they have no bounds, and float32 has seven digits.

    Args:
        answer: probability, class and logit, a row for each image.
        wanted: the same as it should be.
    """
    missing = [key for key in OUTPUTS if key not in answer]
    if missing:
        return f'the answer has no {", ".join(missing)}', None
    for key in OUTPUTS:
        if answer[key].shape != wanted[key].shape:
            shapes = f'{list(answer[key].shape)}, not {list(wanted[key].shape)}'
            return f'{key} has the shape {shapes}', None
    if not all(np.isfinite(each[key]).all() for key in NUMBERS for each in (answer, wanted)):
        return 'the answer to a whole image is not a number', None
    difference = max(_difference(answer[key], wanted[key]) for key in NUMBERS)
    if difference > TOLERANCE:
        return f"the answers differ from the Trainer's by up to {difference:.2g}", difference
    wrong = int((answer[features.CLASS] != wanted[features.CLASS]).sum())
    return (f'{wrong} of {len(wanted[features.CLASS])} classes are others' if wrong else None), (
        difference
    )


def _difference(found: np.ndarray, wanted: np.ndarray) -> float:
    scale = max(1.0, float(np.abs(wanted).max()))  # 1 for probabilities
    return float(np.abs(found.astype(np.float64) - wanted).max()) / scale


def unanswered(answer: Arrays, rows: list[int]) -> bool:
    """Whether these rows say that there is no image: NaN and no class."""
    numbers = all(np.isnan(answer[key][rows]).all() for key in NUMBERS)
    return numbers and not any(answer[features.CLASS][rows].ravel())
