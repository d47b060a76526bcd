"""Draws the background and the objects in front of the animal."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from components.image_example_gen.sources.drawings.parameters import SUPERSAMPLING, Parameters
from components.image_example_gen.sources.drawings.pencil import CIRCLE, Colour, any_colour, smooth


def draw_background(parameters: Parameters, rng: Generator) -> Image.Image:
    """Makes a canvas, `SUPERSAMPLING` times the size of the image, with up to three objects."""
    camera = parameters.camera
    size = (camera.width * SUPERSAMPLING, camera.height * SUPERSAMPLING)
    canvas = _BACKGROUNDS[rng.integers(len(_BACKGROUNDS))](size, rng)
    for _ in range(rng.integers(0, 4)):
        centre = rng.uniform((0, 0), size)
        _object(canvas, centre, min(size) * rng.uniform(0.05, 0.16), rng)
    return canvas


def draw_foreground(canvas: Image.Image, parameters: Parameters, rng: Generator) -> None:
    """Draws objects in front of the animal; they may hide an ear or a cheek, but not the face."""
    pose = parameters.pose
    for _ in range(rng.integers(0, 3)):
        angle, distance = rng.uniform(0, 2 * np.pi), pose.scale * rng.uniform(1.2, 2)
        centre = np.array([pose.x, pose.y]) + distance * np.array([np.cos(angle), np.sin(angle)])
        _object(canvas, centre, pose.scale * rng.uniform(0.12, 0.4), rng)
    if rng.random() < 0.25:
        _grass(canvas, rng)
    if rng.random() < 0.15:
        _frame(canvas, rng)


# Backgrounds


def _gradient(size: tuple[int, int], rng: Generator) -> Image.Image:
    corners = np.array([any_colour(rng) for _ in range(4)], dtype=np.uint8).reshape(2, 2, 3)
    return Image.fromarray(corners).resize(size, Image.Resampling.BILINEAR)


def _clouds(size: tuple[int, int], rng: Generator) -> Image.Image:
    cells = rng.integers(3, 14)
    colours = rng.normal(any_colour(rng), rng.uniform(10, 40), (cells, cells, 3))
    image = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))
    return image.resize(size, Image.Resampling.BILINEAR)


def _stripes(size: tuple[int, int], rng: Generator) -> Image.Image:
    canvas = Image.new('RGB', size, any_colour(rng))
    pen, colour = ImageDraw.Draw(canvas), any_colour(rng)
    step, slant = min(size) * rng.uniform(0.06, 0.25), rng.uniform(-1, 1) * size[1]
    share = rng.uniform(0.3, 0.6)
    across = rng.random() < 0.5
    for start in np.arange(-size[1], max(size) + size[1], step):
        edges = (start, start + slant, start + slant + step * share, start + step * share)
        corners = list(zip(edges, (0, size[1], size[1], 0), strict=True))
        pen.polygon([(y, x) for x, y in corners] if across else corners, fill=colour)
    return canvas


def _checks(size: tuple[int, int], rng: Generator) -> Image.Image:
    columns = int(rng.integers(3, 9))
    rows = max(2, round(columns * size[1] / size[0]))
    dark = (np.add.outer(np.arange(rows), np.arange(columns)) % 2).astype(np.uint8)
    colours = np.array([any_colour(rng), any_colour(rng)], dtype=np.uint8)
    return Image.fromarray(colours[dark]).resize(size, Image.Resampling.NEAREST)


def _hills(size: tuple[int, int], rng: Generator) -> Image.Image:
    canvas = _gradient(size, rng)
    pen = ImageDraw.Draw(canvas)
    width, height = size
    _disc(pen, rng.uniform((0, 0), (width, height * 0.5)), height * 0.08, any_colour(rng))
    x = np.linspace(0, 2 * np.pi, 16)
    for level in (0.5, 0.7):
        waves = np.sin(x * rng.uniform(0.5, 2) + rng.uniform(0, 6)) * rng.uniform(0.03, 0.12)
        crest = np.stack([x / (2 * np.pi) * width, (level + waves) * height], axis=1)
        pen.polygon([*crest.ravel().tolist(), width, height, 0, height], fill=any_colour(rng))
    return canvas


def _room(size: tuple[int, int], rng: Generator) -> Image.Image:
    canvas = Image.new('RGB', size, any_colour(rng))
    pen = ImageDraw.Draw(canvas)
    width, height = size
    floor = height * rng.uniform(0.6, 0.85)
    pen.rectangle((0, floor, width, height), fill=any_colour(rng))
    left, top = rng.uniform((0, 0), (width * 0.7, height * 0.25))
    right, bottom = left + width * rng.uniform(0.2, 0.4), top + height * rng.uniform(0.2, 0.35)
    pen.rectangle((left, top, right, bottom), any_colour(rng), any_colour(rng), width // 50)
    return canvas


_Background = Callable[[tuple[int, int], Generator], Image.Image]
_BACKGROUNDS: tuple[_Background, ...] = (_gradient, _clouds, _stripes, _checks, _hills, _room)


# Objects


def _disc(pen: ImageDraw.ImageDraw, centre: np.ndarray, radius: float, fill: Colour) -> None:
    pen.polygon((CIRCLE * radius + centre).ravel().tolist(), fill=fill)


def _object(canvas: Image.Image, centre: np.ndarray, radius: float, rng: Generator) -> None:
    """A ball, a leaf or a box."""
    pen, colour = ImageDraw.Draw(canvas), any_colour(rng)
    kind = rng.integers(3)
    if kind == 0:
        _disc(pen, centre, radius, colour)
        _disc(pen, centre - radius * 0.3, radius * 0.35, any_colour(rng))
        return
    turn = rng.uniform(0, 2 * np.pi)
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    leaf = smooth(np.array([(-1.3, 0), (0, -0.5), (1.3, 0), (0, 0.5)]), 1)
    box = np.array([(-1, -0.6), (1, -0.6), (1, 0.6), (-1, 0.6)])
    outline = leaf if kind == 1 else box
    pen.polygon((outline * radius @ axes + centre).ravel().tolist(), fill=colour)


def _grass(canvas: Image.Image, rng: Generator) -> None:
    pen, colour = ImageDraw.Draw(canvas), any_colour(rng)
    width, height = canvas.size
    for x in np.arange(0, width, width / 24):
        top = height * rng.uniform(0.82, 0.95)
        lean = rng.uniform(-0.04, 0.04) * width
        pen.polygon([(x, height), (x + lean, top), (x + width / 30, height)], fill=colour)


def _frame(canvas: Image.Image, rng: Generator) -> None:
    width, height = canvas.size
    border = round(min(canvas.size) * rng.uniform(0.02, 0.06))
    ImageDraw.Draw(canvas).rectangle((0, 0, width, height), outline=any_colour(rng), width=border)
