"""Figures as maps of tones: the tone of a pixel is the part of the figure it shows."""

import numpy as np
from PIL import Image, ImageDraw

SIDE = 96  # pixels of a map, height and width
OUTSIDE, OUTLINE = 0, 15  # 1 to 14 are parts of the figure
TONES = 16
_FINER = 2  # supersampling
_REACH = 0.42  # distance 1 in coordinates, as a fraction of the side


class Canvas:
    """Draws outlines in coordinates from -1 to 1; y points downwards."""

    def __init__(self) -> None:
        self._side = SIDE * _FINER
        self._image = Image.new('L', (self._side, self._side), OUTSIDE)
        self._draw = ImageDraw.Draw(self._image)

    def fill(self, corners: np.ndarray, tone: int, line: int = 0) -> None:
        """Fills an outline [n, 2]; `line` is the width of its border in half pixels."""
        points = self._pixels(corners)
        self._draw.polygon(points, fill=tone)
        if line:
            self._draw.line([*points, *points[:2]], fill=OUTLINE, width=line, joint='curve')

    def stroke(self, points: np.ndarray, tone: int, width: int) -> None:
        """Draws a line through points [n, 2]."""
        self._draw.line(self._pixels(points), fill=tone, width=width, joint='curve')

    def tones(self) -> np.ndarray:
        """Returns the drawing: uint8 [SIDE, SIDE] of tones 0 to 15."""
        return np.asarray(self._image.resize((SIDE, SIDE), Image.Resampling.NEAREST))

    def _pixels(self, points: np.ndarray) -> list[tuple[float, float]]:
        return [(x, y) for x, y in ((points * _REACH + 0.5) * self._side).tolist()]
