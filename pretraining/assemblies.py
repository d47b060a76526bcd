"""Assemblies: a body with a few parts on and behind it, most of them in mirrored pairs.

A formula of this project. Classes come in groups of four siblings: three of them replace two parts
of the first. A network therefore has to recognize parts and their positions, not the outline alone.
The parts are random outlines and do not depict anything.
"""

import dataclasses
import math

import numpy as np

from pretraining.shapes import KINDS, outline, sample_form, turned, varied
from pretraining.tones import OUTLINE, Canvas

SIBLINGS = 4  # classes that share most of their parts
_STROKES = 'strokes'
_BODY_KINDS = ('ellipse', 'polygon', 'box', 'blob', 'ellipse', 'blob')


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of an assembly; lengths are fractions of half the figure, angles are in radians.

    Attributes:
        kind: kind of the outline, or 'strokes' for a few parallel lines.
        form: parameters of the outline.
        at: centre, x and y; y points downwards.
        mirrored: whether the part is repeated on the other side of the vertical axis.
        inner: kind of a smaller outline inside; None for no outline.
    """

    kind: str
    form: np.ndarray
    size: float
    aspect: float
    angle: float
    at: tuple[float, float]
    mirrored: bool
    behind: bool
    strokes: int
    inner: str | None
    inner_size: float


def sample_assembly(base: np.random.Generator, own: np.random.Generator | None) -> tuple[Part, ...]:
    """Samples a class; siblings share `base`, and all but the first replace parts from `own`."""
    parts = [_body(base), *(_part(base) for _ in range(base.integers(3, 7)))]
    if base.random() < 0.4:
        lower = _body(base)
        parts.append(dataclasses.replace(lower, at=(0.0, 0.9), size=0.6, behind=True))
    if own is not None:
        changed = own.choice(np.arange(1, len(parts)), size=min(2, len(parts) - 1), replace=False)
        for number in changed:
            parts[number] = _part(own)
    return tuple(parts)


def draw_assembly(parts: tuple[Part, ...], rng: np.random.Generator) -> np.ndarray:
    """Draws an image of the class with random jitter: tones, uint8 [SIDE, SIDE]."""
    canvas = Canvas()
    line = int(rng.choice([0, 2, 3, 4]))
    tilt = rng.normal() * 0.06
    numbered = list(enumerate(parts))
    for number, part in sorted(numbered, key=lambda each: not each[1].behind):
        tone = min(1 + 2 * number, OUTLINE - 2)
        _draw_part(canvas, _jittered(part, rng), tone, line, tilt)
    return canvas.tones()


def _body(rng: np.random.Generator) -> Part:
    return Part(
        kind=_BODY_KINDS[rng.integers(len(_BODY_KINDS))],
        form=sample_form(rng),
        size=rng.uniform(0.45, 0.7),
        aspect=math.exp(rng.uniform(-0.5, 0.5)),
        angle=rng.uniform(-0.3, 0.3),
        at=(0.0, rng.uniform(-0.15, 0.15)),
        mirrored=False,
        behind=False,
        strokes=0,
        inner=_inner(rng),
        inner_size=rng.uniform(0.3, 0.7),
    )


def _part(rng: np.random.Generator) -> Part:
    on_axis = rng.random() < 0.25
    return Part(
        kind=(*KINDS, _STROKES)[rng.integers(len(KINDS) + 1)],
        form=sample_form(rng),
        size=math.exp(rng.uniform(math.log(0.08), math.log(0.4))),
        aspect=math.exp(rng.uniform(-1.1, 1.1)),
        angle=rng.uniform(-np.pi, np.pi),
        at=(0.0 if on_axis else rng.uniform(0.08, 0.75), rng.uniform(-0.75, 0.75)),
        mirrored=bool(rng.random() < 0.65 and not on_axis),
        behind=bool(rng.random() < 0.35),
        strokes=int(rng.integers(2, 5)),
        inner=_inner(rng),
        inner_size=rng.uniform(0.3, 0.7),
    )


def _inner(rng: np.random.Generator) -> str | None:
    return KINDS[rng.integers(len(KINDS))] if rng.random() < 0.4 else None


def _jittered(part: Part, rng: np.random.Generator) -> Part:
    sideways, down = rng.normal(size=2) * 0.05
    if not part.mirrored and part.at[0] == 0:
        sideways *= 0.3  # parts on the axis stay near it
    return dataclasses.replace(
        part,
        form=varied(part.form, rng),
        size=part.size * math.exp(rng.normal() * 0.1),
        aspect=part.aspect * math.exp(rng.normal() * 0.08),
        angle=part.angle + rng.normal() * 0.12,
        at=(part.at[0] + sideways, part.at[1] + down),
    )


def _draw_part(canvas: Canvas, part: Part, tone: int, line: int, tilt: float) -> None:
    for side in (1, -1) if part.mirrored else (1,):
        if part.kind == _STROKES:
            for stroke in range(part.strokes):
                height = stroke - (part.strokes - 1) / 2
                bent = np.array([[-1, height * 0.5], [0, height * 0.7 + 0.15], [1, height * 0.9]])
                canvas.stroke(_placed(bent, part, side, tilt), tone, max(2, line))
            continue
        canvas.fill(_placed(outline(part.kind, part.form), part, side, tilt), tone, line)
        if part.inner:
            within = outline(part.inner, part.form) * part.inner_size
            canvas.fill(_placed(within, part, side, tilt), tone + 1, line)


def _placed(points: np.ndarray, part: Part, side: int, tilt: float) -> np.ndarray:
    """Moves points around (0, 0) to the part's place in the figure; mirrored if `side` is -1."""
    width = math.sqrt(part.aspect)
    lying = turned(points * [part.size * width, part.size / width], part.angle) + part.at
    return turned(lying * [side, 1], tilt)
