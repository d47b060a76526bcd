"""Chooses an evaluation gate that test images can decide."""

from collections.abc import Sequence
from typing import Any

from components.evaluation.gate.rules import accuracy_for_classes

# Test images from which a margin of the accuracy accepts 80 % of equally good models, by the number
# of classes, up to which a row is used. Simulated with equally large classes and default margins
# of the other rules.
_STEPS = {2: (200, 350, 800), 5: (300, 800, 1500), 10**6: (350, 800, 2300)}
_MARGINS = (0.05, 0.03, 0.02)
_USUAL_IMAGES, _FEWEST_IMAGES, _SHORTFALL = 50, 10, 0.75
# The embedded weights reach 0.85 on photographs of two classes, other weights 0.96 to 0.99.
_EMBEDDED_SHARE = 0.5


def choose_gate(
    test: Sequence[int], most_frequent: float, *, embedded: bool = False
) -> dict[str, Any]:
    """Chooses `evaluation:`: the smallest margin that is enough; else undecided models are pushed.

    `test` has the expected number of test images of each class, `most_frequent` is the share of the
    largest class, and `embedded` states that the model starts from the embedded weights.
    """
    guessing, images = 1 / len(test), sum(test)
    baseline = accuracy_for_classes(len(test))
    if embedded:
        baseline = guessing + (1 - guessing) * _EMBEDDED_SHARE
    steps = next(steps for most, steps in _STEPS.items() if len(test) <= most)
    possible = [margin for step, margin in zip(steps, _MARGINS, strict=True) if images >= step]
    return {
        'baseline_accuracy': round(baseline, 2) if baseline > most_frequent else None,
        'min_images': min(_USUAL_IMAGES, max(_FEWEST_IMAGES, int(_SHORTFALL * images))),
        'max_drop': min(possible, default=min(_MARGINS)),
        'undecided': 'keep' if possible else 'push',
    }
