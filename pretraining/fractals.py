"""Fractals of iterated function systems, drawn by the chaos game; each system is a class.

After Kataoka et al., "Pre-training without Natural Images" (ACCV 2020, IJCV 2022): random
affine maps whose attractor fills enough of the image; images of one class vary the parameters.
"""

import dataclasses

import numpy as np

from pretraining.tones import OUTLINE, SIDE

_CHAINS, _STEPS, _FORGOTTEN = (
    60,
    200,
    20,
)  # points, steps, and the steps to discard
_FILLED = (0.2, 0.8)  # fraction of the pixels


@dataclasses.dataclass(frozen=True)
class Fractal:
    """A class: maps x -> matrix x + shift, float64 [n, 2, 2] and [n, 2], with probabilities."""

    matrices: np.ndarray
    shifts: np.ndarray
    probabilities: np.ndarray


def sample_fractal(rng: np.random.Generator) -> Fractal:
    """Samples a class of two to six maps whose attractor fills 0.2 to 0.8 of the image."""
    while True:
        count = int(rng.integers(2, 7))
        matrices = rng.uniform(-1, 1, (count, 2, 2))
        shifts = rng.uniform(-1, 1, (count, 2))
        area = np.abs(np.linalg.det(matrices)) + 1e-3
        stretch = np.linalg.norm(matrices, 2, axis=(1, 2))
        if (stretch > 1).sum() > count // 3:
            matrices /= np.maximum(1, stretch)[:, None, None] * 1.05
        fractal = Fractal(matrices, shifts, area / area.sum())
        density = _density(_points(fractal, rng))
        if density is not None and _FILLED[0] < (density > 0).mean() < _FILLED[1]:
            return fractal


def draw_fractal(fractal: Fractal, rng: np.random.Generator) -> np.ndarray:
    """Draws an image of the class: tones, uint8 [SIDE, SIDE]; denser areas are lighter."""
    density = None
    while density is None:
        matrices = fractal.matrices * (1 + 0.06 * rng.normal(size=fractal.matrices.shape))
        shifts = fractal.shifts * (1 + 0.1 * rng.normal(size=fractal.shifts.shape))
        density = _density(_points(Fractal(matrices, shifts, fractal.probabilities), rng))
    logarithm = np.log1p(density)
    share = np.minimum(1, logarithm / np.percentile(logarithm[logarithm > 0], 98))
    return np.where(density > 0, 1 + share * (OUTLINE - 2), 0).astype(np.uint8)


def _points(fractal: Fractal, rng: np.random.Generator) -> np.ndarray:
    """Samples points near the attractor, float64 [n, 2]; not finite if the maps diverge."""
    bounds = np.cumsum(fractal.probabilities)
    chance = rng.random((_STEPS + _FORGOTTEN, _CHAINS)) * bounds[-1] * (1 - 1e-9)
    chosen = np.searchsorted(bounds, chance)
    position, seen = np.zeros((_CHAINS, 2)), []
    with np.errstate(over='ignore', invalid='ignore'):
        for maps in chosen:
            moved = fractal.matrices[maps] @ position[:, :, None]
            position = moved[:, :, 0] + fractal.shifts[maps]
            seen.append(position)
    return np.concatenate(seen[_FORGOTTEN:])


def _density(points: np.ndarray) -> np.ndarray | None:
    """Counts points per pixel, [SIDE, SIDE], without outliers; None if the points diverge."""
    if not np.isfinite(points).all():
        return None
    low, high = np.percentile(points, 1, axis=0), np.percentile(points, 99, axis=0)
    span = (high - low).max()
    if not 1e-6 < span < 1e6:
        return None
    pixels = ((points - (low + high) / 2) / span * 0.9 + 0.5) * SIDE
    ends = ((0, SIDE), (0, SIDE))
    return np.histogram2d(pixels[:, 1], pixels[:, 0], bins=SIDE, range=ends)[0]
