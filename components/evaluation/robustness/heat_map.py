"""Thumbnails and Grad-CAM overlays."""

import io

import numpy as np
import PIL.Image

_STOPS = (0.0, 0.25, 0.5, 0.75, 1.0)
# matplotlib's inferno, suitable for colour-blind readers.
_COLOURS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
_OPACITY = 0.6  # at the maximum


def thumbnail(encoded: bytes, longest: int) -> PIL.Image.Image:
    """Decodes a JPEG or PNG to RGB with at most `longest` pixels on the longer side."""
    with PIL.Image.open(io.BytesIO(encoded)) as image:
        image.draft('RGB', (longest, longest))  # decodes a JPEG at a reduced size
        small = image.convert('RGB')
    small.thumbnail((longest, longest))
    return small


def overlay(picture: PIL.Image.Image, heat: np.ndarray) -> PIL.Image.Image:
    """Overlays a heat map on an RGB picture.

    Args:
        picture: RGB.
        heat: float [height, width] from 0 to 1, of any size.
    """
    resized = PIL.Image.fromarray(heat.astype(np.float32)).resize(
        picture.size, PIL.Image.Resampling.BICUBIC
    )
    values = np.asarray(resized).clip(0, 1)
    channels = [np.interp(values, _STOPS, column) for column in zip(*_COLOURS, strict=True)]
    opacity = _OPACITY * values[..., np.newaxis]
    mixed = np.asarray(picture) * (1 - opacity) + np.stack(channels, -1) * opacity
    return PIL.Image.fromarray(mixed.round().astype(np.uint8))
