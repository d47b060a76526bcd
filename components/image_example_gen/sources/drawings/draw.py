"""Draws one labelled animal in a scene, as a JPEG.

Size, position, pose, coat, light, background, clutter, blur, noise and JPEG quality are sampled in
the same way for both classes. Only the anatomy differs: ears, outline of the head, eyes, muzzle,
nose, whiskers, tongue. Dogs may have erect ears, so no single feature is sufficient. To make the
data harder or easier, change the ranges here and in `animal.py`, and run
`benchmarks/drawings_difficulty.py`.
"""

import io
import math

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from components.image_example_gen.sources.drawings.animal import draw_animal
from components.image_example_gen.sources.drawings.pencil import CIRCLE, Pose, any_colour, smooth

CLASSES = ('cat', 'dog')
_SUPERSAMPLING = 2  # scale of the canvas before averaging: Pillow has no antialiasing
_LEAF = smooth([(-1.3, 0), (0, -0.5), (1.3, 0), (0, 0.5)], 1)
_BOX = np.array([(-1, -0.6), (1, -0.6), (1, 0.6), (-1, 0.6)])


def draw(index: int, *, seed: int = 0) -> bytes:
    """Draws one animal; its class is `CLASSES[index % 2]`.

    Deterministic for the same versions of NumPy and Pillow, in any process and order. Returns an
    RGB JPEG, 96 to 200 pixels wide and high.
    """
    rng = np.random.default_rng((seed, index))
    longer = int(rng.integers(120, 201))
    shorter = max(96, int(longer * rng.uniform(0.75, 1)))
    width, height = (longer, shorter) if rng.random() < 0.5 else (shorter, longer)
    size = width * _SUPERSAMPLING, height * _SUPERSAMPLING
    pose = Pose(
        x=size[0] * rng.uniform(0.4, 0.6),
        y=size[1] * rng.uniform(0.46, 0.61),
        scale=min(size) * rng.uniform(0.28, 0.37),
        tilt=rng.normal(0, 0.16),
        turn=rng.uniform(-0.35, 0.35),
        nod=rng.uniform(-0.1, 0.15),
    )
    canvas = _background(size, rng)
    for _ in range(rng.integers(0, 4)):
        _object(canvas, rng.uniform((0, 0), size), min(size) * rng.uniform(0.05, 0.16), rng)
    draw_animal(canvas, pose, CLASSES[index % 2], rng)
    # Objects in front of the animal; they may hide an ear or a cheek, but not the face.
    for _ in range(rng.integers(0, 4)):
        angle, distance = rng.uniform(0, 2 * np.pi), pose.scale * rng.uniform(1.2, 2)
        centre = (pose.x, pose.y) + distance * np.array([np.cos(angle), np.sin(angle)])
        _object(canvas, centre, pose.scale * rng.uniform(0.12, 0.4), rng)
    return _photograph(canvas, rng)


def _background(size: tuple[int, int], rng: Generator) -> Image.Image:
    """A room, or clouds, checks or stripes at any angle."""
    if rng.random() < 0.2:
        return _room(size, rng)
    rows, columns = rng.choice([1, 4, 8, 16], 2)
    if rng.random() < 0.4:
        colours = rng.normal(any_colour(rng), rng.uniform(10, 60), (rows, columns, 3)).clip(0, 255)
        method = Image.Resampling.BILINEAR
    else:
        parity = np.add.outer(np.arange(rows), np.arange(columns)) % 2
        colours = np.array([any_colour(rng), any_colour(rng)])[parity]
        method = Image.Resampling.NEAREST
    # The colours cover a square of twice the size, rotated about the middle of the image.
    angle, side, (width, height) = math.radians(rng.uniform(0, 90)), 2 * max(size), size
    across = math.cos(angle) * columns / side, -math.sin(angle) * columns / side
    down = math.sin(angle) * rows / side, math.cos(angle) * rows / side
    left = (columns - across[0] * width - across[1] * height) / 2
    top = (rows - down[0] * width - down[1] * height) / 2
    return Image.fromarray(colours.astype(np.uint8)).transform(
        size, Image.Transform.AFFINE, (*across, left, *down, top), method
    )


def _room(size: tuple[int, int], rng: Generator) -> Image.Image:
    """A wall, a floor, and a window with a frame."""
    canvas, (width, height) = Image.new('RGB', size, any_colour(rng)), size
    pen = ImageDraw.Draw(canvas)
    pen.rectangle((0, height * rng.uniform(0.6, 0.85), width, height), fill=any_colour(rng))
    left, top = rng.uniform((0, 0), (width * 0.7, height * 0.25))
    right, bottom = left + width * rng.uniform(0.2, 0.4), top + height * rng.uniform(0.2, 0.35)
    pen.rectangle((left, top, right, bottom), any_colour(rng), any_colour(rng), width // 50)
    return canvas


def _object(canvas: Image.Image, centre: np.ndarray, radius: float, rng: Generator) -> None:
    """Draws a ball, a leaf or a box."""
    angle = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    outline = (CIRCLE, _LEAF, _BOX)[rng.integers(3)]
    pixels = outline * radius @ rotation + centre
    ImageDraw.Draw(canvas).polygon(pixels.ravel().tolist(), fill=any_colour(rng))


def _photograph(canvas: Image.Image, rng: Generator) -> bytes:
    """Converts a canvas to a JPEG: blur, light, noise and compression."""
    image = canvas.reduce(_SUPERSAMPLING).filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8)))
    pixels = np.asarray(image, dtype=np.float32) * _light(image.size, rng)
    pixels += rng.uniform(0, 5) * rng.standard_normal(pixels.shape, dtype=np.float32)
    buffer = io.BytesIO()
    final = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    final.save(buffer, 'JPEG', quality=int(rng.integers(40, 96)))
    return buffer.getvalue()


def _light(size: tuple[int, int], rng: Generator) -> np.ndarray:
    """Gain of every pixel: a light from one side, darker corners, a tint; float32 [h, w, 3]."""
    x = np.linspace(-1, 1, size[0])[None, :]
    y = np.linspace(-1, 1, size[1])[:, None]
    slope = 1 + rng.uniform(-0.3, 0.3) * x + rng.uniform(-0.3, 0.3) * y
    falloff = 1 - rng.uniform(0, 0.3) * (x * x + y * y) / 2
    gain, warmth = rng.uniform(0.9, 1.2), rng.uniform(-0.12, 0.12)
    tint = gain * np.array([1 + warmth, 1, 1 - warmth])
    return ((slope * falloff)[:, :, None] * tint).astype(np.float32)
