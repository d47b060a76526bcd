"""Textures: noise, waves, cells and tiles. Each set of parameters is a class. All but tiles are
periodic.

Noise is coloured in its spectrum, as Perlin's is (Perlin, "An Image Synthesizer", SIGGRAPH 1985,
which Kataoka et al. use for classes too); cells are Worley's ("A Cellular Texture Basis Function",
SIGGRAPH 1996); tiles follow Kataoka et al., "Formula-driven Supervised Learning with Recursive
Tiling Patterns" (ICCV Workshops 2021).
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial import cKDTree

from pretraining.shapes import KINDS, outline, sample_form, turned

SIDE = 128  # pixels, height and width
FAMILIES = ('noise', 'waves', 'cells', 'tiles')
_STEPS = np.arange(SIDE) / SIDE
_X, _Y = np.meshgrid(_STEPS, _STEPS)
_FREQUENCY_X, _FREQUENCY_Y = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE))


@dataclasses.dataclass(frozen=True)
class Noise:
    """A spectrum: a power of the frequency, or a band around one; stretched along an angle.

    Attributes:
        centre: centre of the band in cycles per pixel; None for no band.
        fold: mapping of the values: 0 none, 1 ridges, 2 contour lines, 3 two tones.
    """

    power: float
    angle: float
    stretch: float
    centre: float | None
    width: float
    fold: int

    def field(self, rng: np.random.Generator) -> np.ndarray:
        """Samples noise with this spectrum and standard deviation 1: float64 [SIDE, SIDE]."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        along = _FREQUENCY_X * cosine + _FREQUENCY_Y * sine
        across = (_FREQUENCY_Y * cosine - _FREQUENCY_X * sine) * self.stretch
        frequency = np.hypot(along, across) + 1e-4
        if self.centre is None:
            strength = frequency**-self.power
        else:
            strength = np.exp(-((np.log(frequency / self.centre) / self.width) ** 2))
        strength[0, 0] = 0
        field = np.fft.ifft2(strength * np.fft.fft2(rng.normal(size=(SIDE, SIDE)))).real
        return field / field.std()

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        varied = dataclasses.replace(
            self,
            power=self.power * _factor(rng, 0.05),
            angle=self.angle + rng.normal() * 0.05,
            centre=self.centre and self.centre * _factor(rng, 0.08),
        )
        field = varied.field(rng)
        return (field, np.abs(field), np.sin(field * 2.5), np.tanh(field * 4))[self.fold]


@dataclasses.dataclass(frozen=True)
class Waves:
    """A sum of plane waves, distorted by noise. Integer frequencies make it periodic."""

    frequencies: np.ndarray
    strengths: np.ndarray
    bend: float
    hard: bool

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        smooth = Noise(2.0, 0.0, 1.0, None, 0.3, 0)
        x, y = (axis + self.bend * 0.5 * smooth.field(rng) for axis in (_X, _Y))
        total = sum(
            strength * np.sin(2 * np.pi * (across * x + down * y + rng.random()))
            for (across, down), strength in zip(self.frequencies, self.strengths, strict=True)
        )
        return np.tanh(5 * total) if self.hard else total


@dataclasses.dataclass(frozen=True)
class Cells:
    """Distances to the nearest of random points; `look` selects one of four measures."""

    count: int
    stretch: float
    look: int

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        count = int(self.count * _factor(rng, 0.1)) + 3
        points = rng.random((count, 2))
        copies = [points + np.array([right, down]) for right in (-1, 0, 1) for down in (-1, 0, 1)]
        scale = [1, math.sqrt(self.stretch)]
        tree = cKDTree(np.concatenate(copies) * scale)
        (nearest, second), owner = self._two_nearest(tree, scale)
        if self.look == 0:
            return nearest
        if self.look == 1:
            return second - nearest
        if self.look == 2:
            return rng.random(count)[owner % count]
        return np.minimum(second - nearest, 0.15 / math.sqrt(count))

    def _two_nearest(
        self, tree: cKDTree, scale: list[float]
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
        distances, owners = tree.query(np.stack([_X, _Y], axis=-1) * scale, k=2)
        return (distances[..., 0], distances[..., 1]), owners[..., 0]


@dataclasses.dataclass(frozen=True)
class Tiles:
    """An outline repeated on a grid, in one or two orientations."""

    grid: int
    kind: str
    form: np.ndarray
    size: float
    aspect: float
    angle: float
    staggered: bool
    alternating: bool

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        side = SIDE * 2
        image = Image.new('L', (side, side), 0)
        canvas = ImageDraw.Draw(image)
        jitter = rng.uniform(0, 0.12)
        width = math.sqrt(self.aspect)
        tile = outline(self.kind, self.form) * [self.size * width, self.size / width]
        for row in range(-1, self.grid + 1):
            for column in range(-1, self.grid + 1):
                odd = self.alternating and (row + column) % 2
                corners = turned(tile, self.angle + (np.pi / 2 if odd else 0))
                shift = 0.5 * (row % 2) if self.staggered else 0
                middle = np.array([column + 0.5 + shift, row + 0.5]) + rng.normal(size=2) * jitter
                points = (corners + middle) * side / self.grid
                canvas.polygon([(x, y) for x, y in points.tolist()], fill=150 if odd else 255)
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)


Texture = Noise | Waves | Cells | Tiles


def sample_texture(family: str, rng: np.random.Generator) -> Texture:
    """Samples a class of a family.

    Raises:
        KeyError: the family is unknown.
    """
    return _SAMPLERS[family](rng)


def draw_texture(texture: Texture, rng: np.random.Generator) -> np.ndarray:
    """Draws an image of the class: uint8 [SIDE, SIDE], scaled to 0..255."""
    values = texture.draw(rng)
    low, high = np.percentile(values, 1), np.percentile(values, 99)
    share = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    return np.round(share * 255).astype(np.uint8)


def _factor(rng: np.random.Generator, spread: float) -> float:
    return math.exp(rng.normal() * spread)


def _noise(rng: np.random.Generator) -> Noise:
    band = rng.random() < 0.6
    return Noise(
        power=rng.uniform(0.6, 2.5),
        angle=rng.uniform(0, np.pi),
        stretch=math.exp(rng.uniform(0, 1.6)),
        centre=math.exp(rng.uniform(math.log(0.02), math.log(0.25))) if band else None,
        width=rng.uniform(0.15, 0.6),
        fold=int(rng.integers(4)),
    )


def _waves(rng: np.random.Generator) -> Waves:
    count = int(rng.integers(1, 4))
    frequencies = rng.integers(-9, 10, (count, 2))
    frequencies[:, 0] = np.where(frequencies[:, 0] == 0, 2, frequencies[:, 0])
    return Waves(
        frequencies=frequencies,
        strengths=rng.uniform(0.3, 1, count),
        bend=rng.uniform(0, 0.08),
        hard=rng.random() < 1 / 3,
    )


def _cells(rng: np.random.Generator) -> Cells:
    return Cells(
        count=int(rng.integers(6, 60)),
        stretch=math.exp(rng.uniform(0, 1.6)),
        look=int(rng.integers(4)),
    )


def _tiles(rng: np.random.Generator) -> Tiles:
    return Tiles(
        grid=int(rng.integers(3, 10)),
        kind=KINDS[rng.integers(len(KINDS))],
        form=sample_form(rng),
        size=rng.uniform(0.4, 0.55),
        aspect=math.exp(rng.uniform(-1.1, 1.1)),
        angle=rng.uniform(-np.pi, np.pi),
        staggered=rng.random() < 0.5,
        alternating=rng.random() < 0.5,
    )


_SAMPLERS: dict[str, Callable[[np.random.Generator], Texture]] = {
    'noise': _noise,
    'waves': _waves,
    'cells': _cells,
    'tiles': _tiles,
}
