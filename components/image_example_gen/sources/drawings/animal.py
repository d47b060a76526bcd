"""Draws the head of a cat or a dog.

Only `_draw_cat`, `_draw_dog` and their muzzles depend on the species. Shoulders and coat are
sampled in the same way for both, so that colours do not reveal the class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from components.image_example_gen.sources.drawings.pencil import (
    CIRCLE,
    Colour,
    Pencil,
    Pose,
    any_colour,
    blend,
    ellipse,
    mirror,
    one_of,
    smooth,
)

_SIDES = (-1, 1)
_LINE = 0.05  # width of the outlines, in head units
_FURS = ('#d98a3d', '#8b8f96', '#3a3634', '#efe6d6', '#8a5a36', '#c9a26b', '#5f6b7a', '#b9683a')
_EYES = ('#6fa53c', '#d8b23a', '#4f93c4', '#a8672a', '#6b4423', '#8fae4a')
_SKINS = ('#e29691', '#8a5a50', '#4a3a36')
_FACE = 0.8  # depth of the eyes in front of the ears


@dataclass(frozen=True)
class Coat:
    """Colours of the fur and the skin."""

    base: Colour
    second: Colour
    muzzle: Colour
    skin: Colour


def draw_animal(canvas: Image.Image, pose: Pose, species: str, rng: Generator) -> None:
    """Draws a `cat` or a `dog` on the canvas, from back to front."""
    coat = _sample_coat(rng)
    pencil = Pencil(canvas, pose, ink=blend(coat.base, (25, 18, 15), rng.uniform(0.5, 0.85)))
    _draw_shoulders(pencil, coat, rng)
    (_draw_cat if species == 'cat' else _draw_dog)(pencil, coat, rng)


def _sample_coat(rng: Generator) -> Coat:
    base, second = one_of(_FURS, rng), one_of(_FURS, rng)
    return Coat(
        base=base,
        second=second,
        muzzle=(base, second, blend(base, (255, 250, 240), 0.55))[rng.integers(3)],
        skin=one_of(_SKINS, rng),
    )


def _draw_cat(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    tip = (rng.uniform(0.67, 0.97), rng.uniform(-1.65, -1.35))
    _draw_erect_ears(pencil, np.array([(0.12, -0.7), tip, (0.98, -0.1)]), coat)
    cheek, chin = rng.uniform(0.95, 1.12), rng.uniform(0.72, 0.88)
    head = ((0, -0.8), (0.6, -0.78), (0.98, -0.25), (cheek, 0.3), (0.62, chin), (0, chin))
    _draw_head(pencil, smooth(mirror(head)), coat, rng)
    centre = rng.uniform((0.4, -0.16), (0.48, -0.04))
    radii = rng.uniform((0.21, 0.17), (0.26, 0.23))
    _draw_eyes(pencil, centre, radii, radii * (rng.uniform(0.15, 0.35), 0.95), rng)
    _draw_cat_muzzle(pencil, coat, rng)


def _draw_cat_muzzle(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    """Two pads under a small triangular nose, and whiskers."""
    width, height = rng.uniform((0.2, 0.15), (0.25, 0.2))
    y, depth = rng.uniform(0.38, 0.46), _FACE + 0.15
    pencil.shape(ellipse((0, y + height), (0.16, 0.12)), coat.muzzle, depth, line=_LINE / 2)
    for side in _SIDES:
        pencil.shape(ellipse((0.8 * width * side, y), (width, height)), coat.muzzle, depth)
        mouth = ellipse((0.7 * width * side, y + 0.02), (width * 0.7, height * 0.8))[1:12]
        pencil.line(mouth, _LINE * 0.8, depth)
    nose, top = rng.uniform(0.1, 0.14), y - height * 0.5 - rng.uniform(0.07, 0.1)
    pencil.shape(smooth([(-nose, top), (nose, top), (0, y)], 1), coat.skin, depth, _LINE * 0.8)
    colour = ((250, 250, 245), pencil.ink)[rng.integers(2)]
    length, droop = rng.uniform(0.9, 1.3), rng.uniform(-0.15, 0.2)
    for side in _SIDES:
        for slope in (-0.25, 0, 0.25):
            whisker = [(0.25 * side, y + slope * 0.2), (length * side, y + slope + droop)]
            pencil.line(whisker, 0.03, _FACE, colour)


def _draw_dog(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    hanging = rng.random() < 0.6
    lean, length = rng.uniform(-0.05, 0.25), rng.uniform(0.75, 1.05)
    if not hanging:
        top, middle = -0.7 - length, -0.3 - length
        ear = [(0.2, -0.75), (0.3 + lean, middle), (0.6 + lean, top), (0.85, middle), (0.86, -0.4)]
        _draw_erect_ears(pencil, smooth(ear), coat)
    cheek, chin = rng.uniform(0.72, 0.86), rng.uniform(0.8, 0.95)
    head = ((0, -0.9), (0.55, -0.9), (0.88, -0.4), (cheek, 0.2), (0.5, chin), (0, chin))
    _draw_head(pencil, smooth(mirror(head)), coat, rng)
    if hanging:
        outer, end = 1.1 + lean, -0.6 + 1.5 * length
        ear = [(0.4, -0.95), (0.95, -0.8), (outer + 0.2, end - 0.5), (outer, end), (0.8, end - 0.2)]
        for side in _SIDES:
            pencil.shape(smooth(ear) * (side, 1), coat.second, line=_LINE)
    centre, radius = rng.uniform((0.34, -0.25), (0.42, -0.12)), rng.uniform(0.11, 0.15)
    _draw_eyes(pencil, centre, (radius, radius), (0.65 * radius, 0.65 * radius), rng)
    _draw_dog_muzzle(pencil, coat, rng)


def _draw_dog_muzzle(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    """A long muzzle towards the viewer, with a big dark nose at its end, and perhaps a tongue."""
    width, height = rng.uniform(0.36, 0.46, 2)
    y, end = rng.uniform(0.5, 0.6), _FACE + rng.uniform(0.4, 0.7)
    if rng.random() < 0.55:
        tongue = ellipse((0.03, y + height * 0.85), (0.16, rng.uniform(0.3, 0.5)))
        pencil.shape(tongue, (222, 90, 105), end - 0.1, _LINE)
    pencil.shape(ellipse((0, y), (width, height)), coat.muzzle, _FACE)
    pencil.shape(ellipse((0, y), (width * 0.95, height * 0.9)), coat.muzzle, end, _LINE / 2)
    nose_y = y - height * 0.5
    pencil.line([(0, nose_y), (0, y + height * 0.25)], _LINE, end)
    pencil.line(ellipse((0, y + height * 0.2), (width * 0.6, height * 0.35))[1:14], _LINE, end)
    nose = ellipse((0, nose_y), rng.uniform((0.2, 0.14), (0.26, 0.18)))
    pencil.shape(nose, (32, 26, 28), end)
    pencil.shape(ellipse((-0.05, nose_y - 0.05), (0.06, 0.03)), (150, 145, 150), end)


def _draw_shoulders(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    neck, width = rng.uniform(0.55, 0.7), rng.uniform(1.0, 1.5)
    body = mirror([(0, 0.3), (neck, 0.4), (neck, 0.9), (width, 1.5), (width, 4), (0, 4)])
    pencil.shape(smooth(body), (coat.base, coat.second)[rng.integers(2)], line=_LINE)
    pencil.shape(ellipse((0, 1.6), (neck * 0.8, 0.9)), coat.muzzle)
    if rng.random() < 0.5:
        collar = mirror([(0, 0.95), (neck, 0.75), (neck, 0.95), (0, 1.2)])
        pencil.shape(collar, any_colour(rng), line=_LINE)


def _draw_erect_ears(pencil: Pencil, ear: np.ndarray, coat: Coat) -> None:
    inner = ear + 0.35 * (ear.mean(axis=0) - ear)
    for side in _SIDES:
        pencil.shape(ear * (side, 1), coat.base, line=_LINE)
        pencil.shape(inner * (side, 1), coat.skin)


def _draw_head(pencil: Pencil, outline: np.ndarray, coat: Coat, rng: Generator) -> None:
    """Draws the head with a random pattern of the second colour, which ends at its outline."""
    size = pencil.canvas.size
    fur, inside = Image.new('RGB', size, coat.base), Image.new('1', size)
    for marking in _sample_markings(rng):
        Pencil(fur, pencil.pose, pencil.ink).shape(marking, coat.second)
    ImageDraw.Draw(inside).polygon(pencil.place(outline), fill=1)
    pencil.canvas.paste(fur, mask=inside)
    pencil.line([*outline, *outline[:2]], _LINE)


def _sample_markings(rng: Generator) -> list[np.ndarray]:
    """The outlines of a random pattern."""
    pattern = rng.choice(['solid', 'tabby', 'patches', 'spots', 'blaze', 'eye patch'])
    if pattern == 'tabby':
        forehead = [((x - 0.07, -1), (x + 0.07, -1), (x * 0.8, -0.4)) for x in (-0.25, 0, 0.25)]
        cheek = [((1.2, y - 0.2), (1.2, y - 0.05), (0.5, y)) for y in (0.05, 0.3, 0.55)]
        return [*np.array(forehead), *np.array(cheek), *np.array(cheek) * (-1, 1)]
    if pattern == 'patches':
        patches = [CIRCLE[::4] * rng.uniform(0.25, 0.6, (7, 1)) for _ in range(3)]
        return [smooth(patch) + rng.uniform(-0.9, 0.9, 2) for patch in patches]
    if pattern == 'spots':
        spots = rng.uniform((-1, -0.9, 0.05), (1, 0.8, 0.13), (14, 3))
        return [ellipse((x, y), (radius, radius)) for x, y, radius in spots]
    if pattern == 'blaze':  # from the crown to the muzzle
        top, bottom = rng.uniform(0.08, 0.2), rng.uniform(0.2, 0.5)
        return [mirror([(0, -1.1), (top, -1.1), (bottom, 1.1), (0, 1.1)])]
    if pattern == 'eye patch':
        side = _SIDES[rng.integers(2)]
        return [ellipse((0.42 * side, -0.15), rng.uniform(0.3, 0.42, 2))]
    return []


def _draw_eyes(
    pencil: Pencil, centre: ArrayLike, radii: ArrayLike, pupil: ArrayLike, rng: Generator
) -> None:
    iris = one_of(_EYES, rng)
    for side in _SIDES:
        place = np.asarray(centre) * (side, 1)
        pencil.shape(ellipse(place, radii), iris, _FACE, _LINE)
        pencil.shape(ellipse(place, pupil), (15, 12, 12), _FACE)
        glint = place + np.array((0.05, -0.06))
        pencil.shape(ellipse(glint, (0.035, 0.035)), (255, 255, 255), _FACE)
