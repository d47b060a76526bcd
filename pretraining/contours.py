"""Radial contours: nested closed curves around one centre, each smaller and slightly rotated.

After Kataoka et al., "Replacing Labeled Real-Image Datasets with Auto-Generated Contours"
(CVPR 2022).
"""

import dataclasses
import math

import numpy as np

from pretraining.shapes import around, waves
from pretraining.tones import OUTLINE, Canvas


@dataclasses.dataclass(frozen=True)
class Contour:
    """A class of contours. Amplitudes of frequencies 2 to 9 are fractions of the radius: [8, 2]."""

    rings: int
    amplitudes: np.ndarray
    teeth: int
    depth: float
    shrink: float
    twist: float
    angular: bool


def sample_contour(rng: np.random.Generator) -> Contour:
    """Samples a class."""
    order = np.arange(2, 10)[:, None]
    return Contour(
        rings=int(rng.integers(3, 15)),
        amplitudes=rng.normal(size=(8, 2)) * rng.uniform(0.1, 0.6) / order,
        teeth=int(rng.integers(3, 40)),
        depth=rng.uniform(0, 0.3),
        shrink=rng.uniform(0.6, 0.93),
        twist=rng.uniform(-0.5, 0.5),
        angular=rng.random() < 0.5,
    )


def draw_contour(contour: Contour, rng: np.random.Generator) -> np.ndarray:
    """Draws an image of the class: tones, uint8 [SIDE, SIDE]."""
    canvas = Canvas()
    amplitudes = contour.amplitudes * (1 + 0.15 * rng.normal(size=contour.amplitudes.shape))
    corners = contour.teeth + 3 if contour.angular else 200
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radii = 1 + waves(amplitudes, angles)
    if not contour.angular:
        radii = radii + contour.depth * np.sin(contour.teeth * angles)
    size = 0.9 * math.exp(rng.normal() * 0.05)
    for ring in range(contour.rings):
        tone = 1 + ring % (OUTLINE - 1)
        canvas.fill(around(size * radii, angles + contour.twist * ring), tone)
        size *= contour.shrink
    return canvas.tones()
