"""Pictures of what a model looks at."""

import io

import numpy as np
import PIL.Image

_STOPS = (0.0, 0.25, 0.5, 0.75, 1.0)
# As matplotlib's inferno, which is no less clear to the colour-blind.
_COLOURS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
_OPACITY = 0.6  # where the heat is greatest


def thumbnail(encoded: bytes, longest: int) -> PIL.Image.Image:
    """A JPEG or PNG as an RGB picture whose longer side has at most so many pixels."""
    with PIL.Image.open(io.BytesIO(encoded)) as image:
        image.draft('RGB', (longest, longest))  # a JPEG is decoded no larger than that needs
        small = image.convert('RGB')
    small.thumbnail((longest, longest))
    return small


def overlay(picture: PIL.Image.Image, heat: np.ndarray) -> PIL.Image.Image:
    """The picture, with colours where a heat map is warm.

    Args:
        picture: RGB.
        heat: float [height, width] from 0 to 1, in any size.
    """
    warm = PIL.Image.fromarray(heat.astype(np.float32)).resize(
        picture.size, PIL.Image.Resampling.BICUBIC
    )
    values = np.asarray(warm).clip(0, 1)
    channels = [np.interp(values, _STOPS, column) for column in zip(*_COLOURS, strict=True)]
    opacity = _OPACITY * values[..., np.newaxis]
    mixed = np.asarray(picture) * (1 - opacity) + np.stack(channels, -1) * opacity
    return PIL.Image.fromarray(mixed.round().astype(np.uint8))
