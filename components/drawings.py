"""Draws labelled heads of cats and dogs, a data set without a download.

Size, pose, colours, background, clutter, blur, light and noise are sampled in the same way for both
classes. Only ears, outline, eyes and muzzle differ, and dogs may have erect ears.
"""

import io
import math

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ('cat', 'dog')
_FURS = ('#d98a3d', '#8b8f96', '#45403c', '#efe6d6', '#8a5a36', '#c9a26b', '#5f6b7a', '#b9683a')
_EYES, _SKIN, _DARK = ('#6fa53c', '#d8b23a', '#4f93c4', '#a8672a'), '#d98f88', '#1f1a1c'
_ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_SIDES, _RESAMPLING = (-1, 1), Image.Resampling


def draw(index: int, *, seed: int = 0) -> bytes:
    """Draws one head; its class is `CLASSES[index % 2]`.

    Deterministic for the same versions of NumPy and Pillow. Returns an RGB JPEG, 96 to 200 pixels
    wide and high.
    """
    rng = np.random.default_rng((seed, index))
    size = rng.integers(96, 201, 2)
    canvas = _background(tuple(2 * size), rng)  # twice the size: Pillow has no antialiasing
    scale, tilt = size.min() * rng.uniform(0.52, 0.75), rng.normal(0, 0.16)
    pen = _Pen(canvas, scale, tilt, 2 * size * rng.uniform((0.4, 0.48), (0.6, 0.6)))
    for _ in range(rng.integers(0, 4)):  # behind the head
        _clutter(pen, rng, rng.uniform(-2, 2, 2))
    _head(pen, CLASSES[index % 2], rng)
    for angle in rng.uniform(0, 2 * np.pi, rng.integers(0, 4)):  # may hide an ear, but not the face
        _clutter(pen, rng, rng.uniform(1.1, 2) * np.array([np.cos(angle), np.sin(angle)]))
    image = canvas.reduce(2).filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    across, down = np.meshgrid(*(np.linspace(-1, 1, length) for length in image.size))
    slope = rng.uniform(-0.3, 0.3, 2)
    light = rng.uniform(0.85, 1.15) + slope[0] * across + slope[1] * down
    pixels = np.asarray(image) * light[..., None] * rng.uniform(0.9, 1.1, 3)
    pixels += rng.normal(0, rng.uniform(0, 5), pixels.shape)
    buffer = io.BytesIO()
    drawing = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    drawing.save(buffer, 'JPEG', quality=int(rng.integers(40, 96)))
    return buffer.getvalue()


class _Pen:
    """Draws in head units: the centre of the head is the origin, its radius is 1, y points down."""

    def __init__(self, canvas: Image.Image, scale: float, tilt: float, centre: np.ndarray) -> None:
        self._draw, self._scale, self._centre = ImageDraw.Draw(canvas), scale, centre
        cosine, sine = math.cos(tilt), math.sin(tilt)
        self._to_pixels = scale * np.array([[cosine, sine], [-sine, cosine]])

    def shape(self, points: object, fill: str, line: float = 0.05) -> None:
        """Fills an outline [n, 2]; `line` is the width of the dark line around it, 0 for none."""
        pixels = (np.asarray(points) @ self._to_pixels + self._centre).ravel().tolist()
        width = round(line * self._scale)
        self._draw.polygon(pixels, fill, _DARK if width else None, max(1, width))

    def oval(self, x: float, y: float, radii: object, fill: str, line: float = 0.05) -> None:
        self.shape(_CIRCLE * radii + (x, y), fill, line)


def _head(pen: _Pen, species: str, rng: Generator) -> None:
    coat, second, muzzle = rng.choice(_FURS, 3)
    iris, ear, turn = rng.choice(_EYES), rng.choice((_SKIN, second)), rng.uniform(-0.2, 0.2)
    is_cat, hanging = species == 'cat', species == 'dog' and rng.random() < 0.5
    pen.oval(0, 2.2, rng.uniform((0.9, 1.3), (1.5, 1.7)), rng.choice((coat, second)))  # shoulders
    tip = np.array([rng.uniform(0.6, 1), rng.uniform(-1.7, -1.35)])
    outline = np.array([(0.15, -0.6), tip, (0.95, -0.1)]) if is_cat else None
    if not is_cat and not hanging:  # longer and blunt
        outline = np.array([(0.2, -0.6), tip * (0.7, 1), tip * (0.95, 1), (0.85, -0.3)])
    if outline is not None:
        for side in _SIDES:
            pen.shape(outline * (side, 1), coat)
            pen.shape((outline + 0.35 * (outline.mean(axis=0) - outline)) * (side, 1), ear, 0)
    wide, high = rng.uniform(0.9, 1.1), rng.uniform(0.76, 0.93)
    pen.oval(0, 0, (wide, high) if is_cat else (high + 0.02, wide - 0.05), coat)
    for x, y, radius in rng.uniform((-0.6, -0.6, 0.1), (0.6, 0.3, 0.3), (rng.integers(0, 4), 3)):
        pen.oval(x, y, (radius, radius), second, 0)  # spots
    if hanging:
        drop = rng.uniform(0.6, 0.9)
        for side in _SIDES:
            pen.oval(0.92 * side, drop - 0.6, (rng.uniform(0.24, 0.34), drop), second)
    eye = np.array((1, rng.uniform(0.75, 1))) * rng.uniform(0.12, 0.18) * (1.33 if is_cat else 1)
    pupil = eye * (rng.uniform(0.25, 0.5) if is_cat else 0.6, 0.8 if is_cat else 0.6)
    for x in (turn - 0.4, turn + 0.4):
        pen.oval(x, -0.17, eye, iris)
        pen.oval(x, -0.17, pupil, _DARK, 0)
        pen.oval(x + 0.05, -0.23, (0.035, 0.035), '#ffffff', 0)
    if is_cat:
        _cat_muzzle(pen, turn, muzzle, rng)
    else:
        _dog_muzzle(pen, 1.5 * turn, muzzle, rng)


def _cat_muzzle(pen: _Pen, x: float, fur: str, rng: Generator) -> None:
    y, length, droop = rng.uniform(0.36, 0.44), rng.uniform(0.9, 1.2), rng.uniform(-0.1, 0.2)
    for side in _SIDES:
        pen.oval(x + 0.17 * side, y, (0.2, 0.15), fur, 0.025)
    pen.shape([(x - 0.12, y - 0.2), (x + 0.12, y - 0.2), (x, y - 0.04)], _SKIN, 0.03)
    whisker = rng.choice((_DARK, '#fafaf5'))
    for side in _SIDES:
        for slope in (-0.25, 0, 0.25):
            end = (x + length * side, y + slope + droop)
            pen.shape([(x + 0.25 * side, y), end, (end[0], end[1] + 0.03)], whisker, 0)


def _dog_muzzle(pen: _Pen, x: float, fur: str, rng: Generator) -> None:
    y, width, height = rng.uniform((0.46, 0.34, 0.32), (0.56, 0.46, 0.42))
    if rng.random() < 0.5:
        pen.oval(x, y + height * 0.9, (0.15, rng.uniform(0.25, 0.4)), '#de5a69')  # tongue
    pen.oval(x, y, (width, height), fur)
    pen.oval(x, y - height * 0.5, (rng.uniform(0.18, 0.25), 0.15), _DARK)
    pen.oval(x - 0.06, y - height * 0.5 - 0.05, (0.06, 0.03), '#969196', 0)


def _clutter(pen: _Pen, rng: Generator, place: np.ndarray) -> None:
    corners = _CIRCLE[:: rng.choice((1, 8, 11))] * rng.uniform(0.12, 0.4, 2)
    pen.shape(corners + place, '#{:02x}{:02x}{:02x}'.format(*rng.integers(20, 235, 3)), 0)


def _background(size: tuple[int, int], rng: Generator) -> Image.Image:
    """Checks, stripes or clouds of two colours."""
    rows, columns = rng.choice((1, 4, 8, 16), 2)
    pair, method = (
        rng.uniform(20, 235, (2, 3)),
        rng.choice((_RESAMPLING.NEAREST, _RESAMPLING.BICUBIC)),
    )
    colours = pair[np.add.outer(range(rows), range(columns)) % 2]
    colours += rng.normal(0, rng.uniform(0, 40), colours.shape)
    cells = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
    return cells.resize(size, _RESAMPLING(method))
