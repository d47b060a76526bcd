"""Draws the animal: shoulders, ears, head, coat, eyes, muzzle and whiskers."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from components.image_example_gen.sources.drawings.parameters import Anatomy, Coat, Parameters
from components.image_example_gen.sources.drawings.pencil import (
    CIRCLE,
    Pencil,
    any_colour,
    blend,
    mirror,
    smooth,
)

_SIDES = (-1, 1)
_LINE = 0.05  # width of the outlines, in head units


def draw_animal(canvas: Image.Image, parameters: Parameters, rng: Generator) -> None:
    """Draws the animal on the canvas, from back to front."""
    anatomy, coat = parameters.anatomy, parameters.coat
    pencil = Pencil(canvas, parameters.pose, coat.ink)
    _shoulders(pencil, coat, rng)
    hanging = anatomy.ears == 'floppy'
    if not hanging:
        _ears(pencil, anatomy, coat)
    _head(canvas, parameters, rng)
    if hanging:
        _ears(pencil, anatomy, coat)
    for side in _SIDES:
        _eye(pencil, anatomy, coat, side)
    muzzle = _cat_muzzle if anatomy.pointed_nose else _dog_muzzle
    muzzle(pencil, anatomy, coat)
    _whiskers(pencil, anatomy, coat, rng)


def _shoulders(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    neck, width = rng.uniform(0.55, 0.7), rng.uniform(1.0, 1.5)
    colour = (coat.base, coat.second)[rng.integers(2)]
    body = mirror(((0, 0.3), (neck, 0.4), (neck, 0.9), (width, 1.5), (width, 4), (0, 4)))
    pencil.shape(smooth(body), colour, line=_LINE)
    chest = CIRCLE * (neck * 0.8, 0.9) + (0, 1.6)
    pencil.shape(chest, coat.muzzle)
    if rng.random() < 0.5:
        collar = np.array([(-neck, 0.75), (0, 0.95), (neck, 0.75), (neck, 0.95), (0, 1.2)])
        pencil.shape(np.concatenate([collar, [(-neck, 0.95)]]), any_colour(rng), line=_LINE)


def _ears(pencil: Pencil, anatomy: Anatomy, coat: Coat) -> None:
    for side in _SIDES:
        EARS[anatomy.ears](pencil, anatomy, coat, side)


# Ears: each function draws the ear on `side`, -1 for left and 1 for right


def _pointed_ear(pencil: Pencil, anatomy: Anatomy, coat: Coat, side: int) -> None:
    """The broad triangle of a cat."""
    tip = (0.72 + anatomy.ear_lean, -0.65 - anatomy.ear_length)
    ear = np.array([(0.12, -0.7), tip, (0.98, -0.1)])
    pencil.shape(ear * (side, 1), coat.base, line=_LINE)
    inner = ear + 0.35 * (ear.mean(axis=0) - ear)
    pencil.shape(inner * (side, 1), coat.skin)


def _erect_ear(pencil: Pencil, anatomy: Anatomy, coat: Coat, side: int) -> None:
    """The tall narrow leaf of a shepherd dog."""
    top = -0.7 - anatomy.ear_length
    lean = anatomy.ear_lean
    ear = np.array(
        [(0.2, -0.75), (0.3 + lean, top + 0.3), (0.6 + lean, top), (0.85, top + 0.5), (0.86, -0.4)]
    )
    pencil.shape(smooth(ear) * (side, 1), coat.second, line=_LINE)
    inner = smooth(ear + 0.4 * (ear.mean(axis=0) - ear))
    pencil.shape(inner * (side, 1), blend(coat.second, coat.skin, 0.5))


def _folded_ear(pencil: Pencil, anatomy: Anatomy, coat: Coat, side: int) -> None:
    """The short ear of a terrier, with the upper half folded forward."""
    top = -0.75 - 0.45 * anatomy.ear_length
    lean = anatomy.ear_lean
    root = np.array([(0.2, -0.7), (0.35 + lean, top), (0.95 + lean, top), (0.88, -0.3)])
    pencil.shape(root * (side, 1), coat.base, line=_LINE)
    flap = np.array([(0.35 + lean, top), (0.98 + lean, top), (0.95 + lean, top + 0.75)])
    pencil.shape(flap * (side, 1), coat.second, line=_LINE)


def _floppy_ear(pencil: Pencil, anatomy: Anatomy, coat: Coat, side: int) -> None:
    """A long ear that hangs next to the face."""
    end = -0.6 + 1.5 * anatomy.ear_length
    lean = anatomy.ear_lean
    ear = np.array(
        [(0.4, -0.95), (0.95, -0.8), (1.3 + lean, end - 0.5), (1.1 + lean, end), (0.8, end - 0.2)]
    )
    pencil.shape(smooth(ear) * (side, 1), coat.second, line=_LINE)


EARS: dict[str, Callable[[Pencil, Anatomy, Coat, int], None]] = {
    'pointed': _pointed_ear,
    'erect': _erect_ear,
    'folded': _folded_ear,
    'floppy': _floppy_ear,
}


# Head and coat: the head is the mask of the coat pattern


def _head(canvas: Image.Image, parameters: Parameters, rng: Generator) -> None:
    coat, pose = parameters.coat, parameters.pose
    outline = smooth(mirror(parameters.anatomy.head))
    pencil = Pencil(canvas, pose, coat.ink)
    fur = Image.new('RGB', canvas.size, coat.base)
    COATS[coat.pattern](Pencil(fur, pose, coat.ink), coat, rng)
    mask = Image.new('1', canvas.size)
    ImageDraw.Draw(mask).polygon(pencil.place(outline), fill=1)
    canvas.paste(fur, mask=mask)
    pencil.outline(outline, _LINE)


def _tabby(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    stripe = blend(coat.base, coat.ink, rng.uniform(0.35, 0.7))
    width = rng.uniform(0.07, 0.12)
    for x in (-0.25, 0, 0.25):
        pencil.line([(x, -1.0), (x * 0.8, -0.4)], width, fill=stripe)
    for side in _SIDES:
        for y in (0.05, 0.3, 0.55):
            pencil.line([(1.2 * side, y - 0.1), (0.6 * side, y)], width, fill=stripe)


def _patches(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    for _ in range(3):
        centre = rng.uniform(-0.9, 0.9, 2)
        patch = smooth(CIRCLE[::4] * rng.uniform(0.25, 0.6, (7, 1)))
        pencil.shape(patch + centre, coat.second)


def _blaze(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    """A band of the second colour, from the crown to the muzzle."""
    top, bottom = rng.uniform(0.08, 0.2), rng.uniform(0.2, 0.5)
    pencil.shape(mirror(((0, -1.1), (top, -1.1), (bottom, 1.1), (0, 1.1))), coat.second)


def _spots(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    for x, y, radius in rng.uniform((-1, -0.9, 0.05), (1, 0.8, 0.13), (14, 3)):
        pencil.ellipse((x, y), (radius, radius), coat.second)


def _tuxedo(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    """Another colour for the lower half of the face."""
    height = rng.uniform(-0.1, 0.25)
    pencil.shape(mirror(((0, height - 0.35), (0.3, height), (1.3, 0.6), (1.3, 1.3))), coat.second)


def _mask(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    """Another colour around the eyes and the nose."""
    radii = rng.uniform(0.6, 0.8), rng.uniform(0.4, 0.7)
    pencil.ellipse((0, 0.1), radii, blend(coat.base, coat.second, 0.8))


def _patch_on_eye(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    side = _SIDES[rng.integers(2)]
    width, height = rng.uniform(0.3, 0.42, 2)
    pencil.ellipse((0.42 * side, -0.15), (width, height), coat.second)


def _solid(pencil: Pencil, coat: Coat, rng: Generator) -> None:
    """The base colour alone."""


COATS: dict[str, Callable[[Pencil, Coat, Generator], None]] = {
    'solid': _solid,
    'tabby': _tabby,
    'patches': _patches,
    'blaze': _blaze,
    'spots': _spots,
    'tuxedo': _tuxedo,
    'mask': _mask,
    'eye patch': _patch_on_eye,
}


# The face


def _eye(pencil: Pencil, anatomy: Anatomy, coat: Coat, side: int) -> None:
    x, y = anatomy.eye_at[0] * side, anatomy.eye_at[1]
    width, height = anatomy.eye
    pencil.ellipse((x, y), (width, height), coat.iris, depth=0.8, line=_LINE)
    pupil = (width * anatomy.pupil[0], height * anatomy.pupil[1])
    pencil.ellipse((x, y), pupil, (15, 12, 12), depth=0.8)
    pencil.ellipse((x + 0.05, y - 0.06), (0.035, 0.035), (255, 255, 255), depth=0.8)


def _cat_muzzle(pencil: Pencil, anatomy: Anatomy, coat: Coat) -> None:
    """Two pads under a small triangular nose."""
    y, (width, height), depth = anatomy.muzzle_y, anatomy.muzzle, 0.8 + anatomy.snout
    pencil.ellipse((0, y + height), (0.16, 0.12), coat.muzzle, depth, line=_LINE / 2)
    for side in _SIDES:
        pencil.ellipse((0.8 * width * side, y), (width, height), coat.muzzle, depth)
        arc = CIRCLE[1:12] * (width * 0.7, height * 0.8) + (0.7 * width * side, y + 0.02)
        pencil.line(arc, _LINE * 0.8, depth)
    nose_width, nose_height = anatomy.nose
    top = y - height * 0.5
    nose = np.array([(-nose_width, top - nose_height), (nose_width, top - nose_height), (0, y)])
    pencil.shape(smooth(nose, 1), coat.skin, depth, line=_LINE * 0.8)


def _dog_muzzle(pencil: Pencil, anatomy: Anatomy, coat: Coat) -> None:
    """A long muzzle towards the viewer, with a big dark nose at its end."""
    y, (width, height), snout = anatomy.muzzle_y, anatomy.muzzle, anatomy.snout
    end = 0.8 + snout
    if anatomy.tongue:
        tongue = (0.16, anatomy.tongue)
        pencil.ellipse((0.03, y + height * 0.85), tongue, (222, 90, 105), end - 0.1, line=_LINE)
    pencil.ellipse((0, y), (width, height), coat.muzzle, 0.8)
    pencil.ellipse((0, y), (width * 0.95, height * 0.9), coat.muzzle, end, line=_LINE / 2)
    nose_y = y - height * 0.5
    pencil.line([(0, nose_y), (0, y + height * 0.25)], _LINE, end)
    mouth = CIRCLE[1:14] * (width * 0.6, height * 0.35) + (0, y + height * 0.2)
    pencil.line(mouth, _LINE, end)
    pencil.ellipse((0, nose_y), anatomy.nose, (32, 26, 28), end)
    pencil.ellipse((-0.05, nose_y - 0.05), (0.06, 0.03), (150, 145, 150), end)


def _whiskers(pencil: Pencil, anatomy: Anatomy, coat: Coat, rng: Generator) -> None:
    if not anatomy.whiskers:
        return
    colour = ((250, 250, 245), coat.ink)[rng.integers(2)]
    droop = rng.uniform(-0.15, 0.2)
    for side in _SIDES:
        for slope in (-0.25, 0, 0.25):
            start = (0.25 * side, anatomy.muzzle_y + slope * 0.2)
            end = ((0.3 + anatomy.whiskers) * side, anatomy.muzzle_y + slope + droop)
            pencil.line([start, end], 0.03, depth=0.8, fill=colour)
