"""Colours, outlines, and drawing in the pose of the animal.

Shapes are given in *head units*: the origin is the centre of the head, one unit is about half of
its width, x points right and y down.
"""

import colorsys
import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


@dataclass(frozen=True)
class Pose:
    """Position of the head in pixels of the canvas, and its angles in radians."""

    x: float
    y: float
    scale: float  # pixels per head unit
    tilt: float
    turn: float
    nod: float


def from_hex(text: str) -> Colour:
    """Reads a colour such as `#d98a3d`."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """Mixes two colours; `share` is the share of the second."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def jitter(colour: Colour, rng: Generator) -> Colour:
    """Adds normal noise to a colour (12 grey levels)."""
    red, green, blue = (
        min(255, max(0, round(c + d))) for c, d in zip(colour, rng.normal(0, 12, 3), strict=True)
    )
    return red, green, blue


def any_colour(rng: Generator) -> Colour:
    """Samples a colour of any hue, with limited saturation and value."""
    hue, saturation, value = rng.uniform((0, 0.1, 0.3), (1, 0.7, 0.95))
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def mirror(half: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Mirrors the right half of an outline, from top to bottom: [n, 2] becomes [2 n, 2]."""
    points = np.array(half, dtype=float)
    return np.concatenate([points, points[::-1] * (-1, 1)])


def smooth(points: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Cuts the corners of a closed outline (Chaikin): [n, 2] becomes [n 2^rounds, 2]."""
    for _ in range(rounds):
        after = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], axis=1)
        points = points.reshape(-1, 2)
    return points


class Pencil:
    """Draws on a canvas in head units, transformed by the pose."""

    def __init__(self, canvas: Image.Image, pose: Pose, ink: Colour) -> None:
        self._draw = ImageDraw.Draw(canvas)
        self._pose = pose
        self._ink = ink
        cosine, sine = math.cos(pose.tilt), math.sin(pose.tilt)
        self._rotation = pose.scale * np.array([[cosine, sine], [-sine, cosine]])

    def place(self, points: np.ndarray, depth: float = 0) -> list[float]:
        """Projects points [n, 2], `depth` in front of the head, to pixels [x, y, x, y, ...]."""
        pose = self._pose
        turned = points * (math.cos(pose.turn), 1)
        turned += (depth * math.sin(pose.turn), depth * math.sin(pose.nod))
        pixels = turned @ self._rotation + (pose.x, pose.y)
        return pixels.ravel().tolist()

    def shape(self, points: np.ndarray, fill: Colour, depth: float = 0, line: float = 0) -> None:
        """Fills a closed outline; `line` is the width of the ink around it, 0 for none."""
        self._draw.polygon(self.place(points, depth), fill=fill)
        if line:
            self.outline(points, line, depth)

    def outline(self, points: np.ndarray, line: float, depth: float = 0) -> None:
        """Draws a closed outline in ink."""
        pixels = self.place(points, depth)
        self._draw.line(pixels + pixels[:4], fill=self._ink, width=self._width(line))

    def ellipse(
        self,
        centre: tuple[float, float],
        radii: tuple[float, float],
        fill: Colour,
        depth: float = 0,
        line: float = 0,
    ) -> None:
        """Fills an ellipse."""
        self.shape(CIRCLE * radii + centre, fill, depth, line)

    def line(
        self, points: ArrayLike, width: float, depth: float = 0, fill: Colour | None = None
    ) -> None:
        """Draws an open line, in ink unless `fill` is given."""
        pixels = self.place(np.array(points, dtype=float), depth)
        self._draw.line(pixels, fill=fill or self._ink, width=self._width(width))

    def _width(self, units: float) -> int:
        return max(1, round(units * self._pose.scale))
