"""Closed outlines, given by a kind and a few parameters; used by assemblies and tiles."""

import math

import numpy as np

KINDS = ('ellipse', 'polygon', 'star', 'box', 'leaf', 'blob', 'moon')
HARMONICS = 6
_ANGLES = np.linspace(0, 2 * np.pi, 64, endpoint=False)


def sample_form(rng: np.random.Generator) -> np.ndarray:
    """Samples the parameters of an outline, float64 [14]: two in 0..1, then the waves of a blob."""
    order = np.arange(2, 2 + HARMONICS)[:, None]
    waves = rng.normal(size=(HARMONICS, 2)) * 0.35 / order
    return np.concatenate([rng.uniform(size=2), waves.ravel()])


def varied(form: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Varies each parameter by about a tenth."""
    changed = form * (1 + rng.normal(size=form.shape) * 0.1)
    changed[:2] = np.clip(changed[:2], 0, 0.999)
    return changed


def outline(kind: str, form: np.ndarray) -> np.ndarray:
    """Returns the corners of a closed outline of radius about 1 around (0, 0): float64 [n, 2].

    Raises:
        KeyError: the kind is unknown.
    """
    return _OUTLINES[kind](form)


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Rotates points [n, 2] about (0, 0) by an angle in radians."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return points @ np.array([[cosine, sine], [-sine, cosine]])


def waves(amplitudes: np.ndarray, angles: np.ndarray, lowest: int = 2) -> np.ndarray:
    """Sum of waves around a circle; `amplitudes` has a row [cosine, sine] per frequency."""
    phases = np.outer(np.arange(lowest, lowest + len(amplitudes)), angles)
    return (amplitudes[:, :1] * np.cos(phases) + amplitudes[:, 1:] * np.sin(phases)).sum(axis=0)


def around(radii: np.ndarray | float, angles: np.ndarray) -> np.ndarray:
    """Converts polar coordinates to x and y, [n, 2]."""
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _ellipse(form: np.ndarray) -> np.ndarray:
    return around(1.0, _ANGLES)


def _polygon(form: np.ndarray) -> np.ndarray:
    corners = 3 + int(form[0] * 4)
    return around(1.0, np.arange(corners) * 2 * np.pi / corners - np.pi / 2)


def _star(form: np.ndarray) -> np.ndarray:
    points = 4 + int(form[0] * 5)
    radii = np.where(np.arange(2 * points) % 2, 0.35 + 0.4 * form[1], 1)
    return around(radii, np.arange(2 * points) * np.pi / points)


def _box(form: np.ndarray) -> np.ndarray:
    """A superellipse, from a circle to nearly a square."""
    power = 2 / (2 + 6 * form[0])
    corners = around(1.0, _ANGLES)
    return np.sign(corners) * np.abs(corners) ** power


def _leaf(form: np.ndarray) -> np.ndarray:
    cosines, sines = np.cos(_ANGLES), np.sin(_ANGLES)
    width = np.abs(sines) ** (0.5 + 2 * form[0]) * (1 - 0.5 * form[1] * cosines)
    return np.stack([cosines, sines * width], axis=1)


def _blob(form: np.ndarray) -> np.ndarray:
    return around(1 + waves(form[2:].reshape(-1, 2), _ANGLES), _ANGLES)


def _moon(form: np.ndarray) -> np.ndarray:
    outer = around(1.0, _ANGLES / 2)
    inner = outer[::-1] * [1, 0.2 + 0.6 * form[0]]
    return np.concatenate([outer, inner]) - [0, 0.5]


_OUTLINES = {
    'ellipse': _ellipse,
    'polygon': _polygon,
    'star': _star,
    'box': _box,
    'leaf': _leaf,
    'blob': _blob,
    'moon': _moon,
}
