"""Colours, outlines, and drawing in the pose of the animal.

Shapes are given in *head units*: the origin is the centre of the head, one unit is about half of
its width, x points right and y down.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from PIL import Image, ImageColor, ImageDraw

Colour = tuple[int, ...]

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


def any_colour(rng: Generator) -> Colour:
    """Samples a colour of any hue, with limited saturation and value."""
    hue, saturation, value = rng.uniform((0, 10, 30), (360, 70, 95))
    return ImageColor.getrgb(f'hsv({hue:.0f}, {saturation:.0f}%, {value:.0f}%)')


def one_of(colours: Sequence[str], rng: Generator) -> Colour:
    """Samples one of the colours, with normal noise of 12 grey levels."""
    chosen = ImageColor.getrgb(colours[int(rng.integers(len(colours)))])
    return tuple(rng.normal(chosen, 12).clip(0, 255).round().astype(int).tolist())


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """Mixes two colours; `share` is the share of the second."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


def mirror(half: ArrayLike) -> np.ndarray:
    """Mirrors the right half of an outline, from top to bottom: [n, 2] becomes [2 n, 2]."""
    points = np.array(half, dtype=float)
    return np.concatenate([points, points[::-1] * (-1, 1)])


def smooth(outline: ArrayLike, rounds: int = 2) -> np.ndarray:
    """Cuts the corners of a closed outline (Chaikin): [n, 2] becomes [n 2^rounds, 2]."""
    points = np.array(outline, dtype=float)
    for _ in range(rounds):
        after = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], axis=1)
        points = points.reshape(-1, 2)
    return points


def ellipse(centre: ArrayLike, radii: ArrayLike) -> np.ndarray:
    """The outline of an ellipse: [28, 2]."""
    return CIRCLE * np.asarray(radii) + np.asarray(centre)


@dataclass(frozen=True)
class Pencil:
    """Draws on a canvas in head units, transformed by the pose; `ink` is the colour of lines."""

    canvas: Image.Image
    pose: Pose
    ink: Colour

    def place(self, points: ArrayLike, depth: float = 0) -> list[float]:
        """Projects points [n, 2], `depth` in front of the head, to pixels [x, y, x, y, ...]."""
        pose = self.pose
        turned = np.asarray(points, dtype=float) * (math.cos(pose.turn), 1)
        turned += (depth * math.sin(pose.turn), depth * math.sin(pose.nod))
        cosine, sine = math.cos(pose.tilt), math.sin(pose.tilt)
        rotated = turned @ np.array([[cosine, sine], [-sine, cosine]])
        return (rotated * pose.scale + (pose.x, pose.y)).ravel().tolist()

    def shape(self, points: ArrayLike, fill: Colour, depth: float = 0, line: float = 0) -> None:
        """Fills a closed outline; `line` is the width of the ink around it, 0 for none."""
        ImageDraw.Draw(self.canvas).polygon(self.place(points, depth), fill=fill)
        if line:
            closed = np.concatenate([points, np.asarray(points)[:2]])
            self.line(closed, line, depth)

    def line(
        self, points: ArrayLike, width: float, depth: float = 0, fill: Colour | None = None
    ) -> None:
        """Draws an open line, in ink unless `fill` is given."""
        pixels = max(1, round(width * self.pose.scale))
        draw = ImageDraw.Draw(self.canvas)
        draw.line(self.place(points, depth), fill=fill or self.ink, width=pixels)
