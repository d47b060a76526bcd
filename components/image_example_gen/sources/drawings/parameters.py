"""Samples the random parameters of a drawing.

Only `Anatomy` depends on the species, so that colour, size and light do not reveal the class.
"""

from dataclasses import dataclass

from numpy.random import Generator

from components.image_example_gen.sources.drawings.pencil import (
    Colour,
    Pose,
    blend,
    from_hex,
    jitter,
)

SUPERSAMPLING = 2  # scale of the canvas before averaging: Pillow has no antialiasing
_FURS = ('#d98a3d', '#8b8f96', '#3a3634', '#efe6d6', '#8a5a36', '#c9a26b', '#5f6b7a', '#b9683a')
_EYES = ('#6fa53c', '#d8b23a', '#4f93c4', '#a8672a', '#6b4423', '#8fae4a')
_PATTERNS = ('solid', 'tabby', 'patches', 'blaze', 'spots', 'tuxedo', 'mask', 'eye patch')


@dataclass(frozen=True)
class Anatomy:
    """Anatomy of a cat or a dog, in head units; `ears` is a key of `animal.EARS`."""

    head: tuple[tuple[float, float], ...]  # right half of the outline, from crown to chin
    ears: str
    ear_length: float
    ear_lean: float
    eye: tuple[float, float]  # radii
    eye_at: tuple[float, float]
    pupil: tuple[float, float]  # share of the radii of the eye
    muzzle: tuple[float, float]  # radii
    muzzle_y: float
    snout: float  # length of the muzzle in front of the face
    nose: tuple[float, float]
    pointed_nose: bool
    whiskers: float  # length, 0 for none
    tongue: float  # length, 0 for none


@dataclass(frozen=True)
class Coat:
    """Colours of the fur; `pattern` is a key of `animal.COATS`."""

    pattern: str
    base: Colour
    second: Colour
    muzzle: Colour
    skin: Colour
    ink: Colour
    iris: Colour


@dataclass(frozen=True)
class Camera:
    """Light and lens; `width` and `height` in pixels, gains are factors, `noise` in grey levels."""

    width: int
    height: int
    gains: tuple[float, float, float]
    light: tuple[float, float]
    vignette: float
    blur: float
    noise: float
    quality: int


@dataclass(frozen=True)
class Parameters:
    """All parameters of a drawing."""

    anatomy: Anatomy
    pose: Pose
    coat: Coat
    camera: Camera


def sample(species: str, rng: Generator) -> Parameters:
    """Samples one drawing; only the anatomy depends on the species."""
    camera = _sample_camera(rng)
    pose = _sample_pose(camera, rng)
    coat = _sample_coat(rng)
    return Parameters({'cat': _cat, 'dog': _dog}[species](rng), pose, coat, camera)


def _cat(rng: Generator) -> Anatomy:
    cheek, chin = rng.uniform(0.95, 1.12), rng.uniform(0.72, 0.88)
    return Anatomy(
        head=((0, -0.8), (0.6, -0.78), (0.98, -0.25), (cheek, 0.3), (0.62, chin), (0, chin)),
        ears='pointed',
        ear_length=rng.uniform(0.7, 1.0),
        ear_lean=rng.uniform(-0.05, 0.25),
        eye=(rng.uniform(0.21, 0.26), rng.uniform(0.17, 0.23)),
        eye_at=(rng.uniform(0.4, 0.48), rng.uniform(-0.16, -0.04)),
        pupil=(rng.uniform(0.15, 0.35), 0.95),
        muzzle=(rng.uniform(0.2, 0.25), rng.uniform(0.15, 0.2)),
        muzzle_y=rng.uniform(0.38, 0.46),
        snout=0.15,
        nose=(rng.uniform(0.1, 0.14), rng.uniform(0.07, 0.1)),
        pointed_nose=True,
        whiskers=rng.uniform(0.6, 1.0),
        tongue=0,
    )


def _dog(rng: Generator) -> Anatomy:
    cheek, chin = rng.uniform(0.72, 0.86), rng.uniform(0.8, 0.95)
    radius = rng.uniform(0.11, 0.15)
    return Anatomy(
        head=((0, -0.9), (0.55, -0.9), (0.88, -0.4), (cheek, 0.2), (0.5, chin), (0, chin)),
        ears=str(rng.choice(('floppy', 'folded', 'erect'), p=(0.65, 0.2, 0.15))),
        ear_length=rng.uniform(0.75, 1.05),
        ear_lean=rng.uniform(-0.05, 0.25),
        eye=(radius, radius),
        eye_at=(rng.uniform(0.34, 0.42), rng.uniform(-0.25, -0.12)),
        pupil=(0.65, 0.65),
        muzzle=(rng.uniform(0.36, 0.46), rng.uniform(0.36, 0.46)),
        muzzle_y=rng.uniform(0.5, 0.6),
        snout=rng.uniform(0.4, 0.7),
        nose=(rng.uniform(0.2, 0.26), rng.uniform(0.14, 0.18)),
        pointed_nose=False,
        whiskers=0,
        tongue=rng.uniform(0.3, 0.5) if rng.random() < 0.55 else 0,
    )


def _sample_camera(rng: Generator) -> Camera:
    longer = rng.integers(120, 201)
    shorter = max(96, int(longer * rng.uniform(0.75, 1)))
    width, height = (longer, shorter) if rng.random() < 0.5 else (shorter, longer)
    gain, warmth = rng.uniform(0.9, 1.2), rng.uniform(-0.12, 0.12)
    return Camera(
        width=int(width),
        height=int(height),
        gains=(gain * (1 + warmth), gain, gain * (1 - warmth)),
        light=(rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3)),
        vignette=rng.uniform(0, 0.3),
        blur=rng.uniform(0, 0.8),
        noise=rng.uniform(0, 5),
        quality=int(rng.integers(40, 96)),
    )


def _sample_pose(camera: Camera, rng: Generator) -> Pose:
    shorter = min(camera.width, camera.height) * SUPERSAMPLING
    scale = shorter * rng.uniform(0.28, 0.37)
    return Pose(
        x=camera.width * SUPERSAMPLING * rng.uniform(0.4, 0.6),
        y=camera.height * SUPERSAMPLING * rng.uniform(0.46, 0.61),
        scale=scale,
        tilt=rng.normal(0, 0.16),
        turn=rng.uniform(-0.35, 0.35),
        nod=rng.uniform(-0.1, 0.15),
    )


def _sample_coat(rng: Generator) -> Coat:
    first, second = rng.choice(len(_FURS), 2, replace=False)
    base = jitter(from_hex(_FURS[first]), rng)
    second_colour = jitter(from_hex(_FURS[second]), rng)
    muzzle = (base, second_colour, blend(base, (255, 250, 240), 0.55))[rng.integers(3)]
    skin = ((226, 150, 145), blend(base, (40, 30, 30), 0.45), second_colour)[rng.integers(3)]
    return Coat(
        pattern=_PATTERNS[rng.integers(len(_PATTERNS))],
        base=base,
        second=second_colour,
        muzzle=muzzle,
        skin=jitter(skin, rng),
        ink=blend(base, (25, 18, 15), rng.uniform(0.5, 0.85)),
        iris=jitter(from_hex(_EYES[rng.integers(len(_EYES))]), rng),
    )
