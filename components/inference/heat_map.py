"""Thumbnails and Grad-CAM overlays."""

import io

import numpy as np
import PIL.Image
import PIL.ImageOps

# Three colours of matplotlib's inferno, suitable for colour-blind readers.
_COLD, _WARM, _HOT = (0, 0, 4), (188, 55, 84), (252, 255, 164)
_OPACITY = 0.6  # at the maximum


def thumbnail(encoded: bytes, longest: int) -> PIL.Image.Image:
    """Decodes a JPEG or PNG to RGB with at most `longest` pixels on the longer side."""
    with PIL.Image.open(io.BytesIO(encoded)) as image:
        image.draft('RGB', (longest, longest))  # decodes a JPEG at a reduced size
        small = image.convert('RGB')
    small.thumbnail((longest, longest))
    return small


def overlay(picture: PIL.Image.Image, heat: np.ndarray) -> PIL.Image.Image:
    """Overlays a heat map, float [height, width] from 0 to 1, of any size, on an RGB picture."""
    scaled = PIL.Image.fromarray((heat.clip(0, 1) * 255).round().astype(np.uint8))
    scaled = scaled.resize(picture.size, PIL.Image.Resampling.BICUBIC)
    colours = PIL.ImageOps.colorize(scaled, black=_COLD, white=_HOT, mid=_WARM)
    return PIL.Image.composite(colours, picture, scaled.point(lambda value: value * _OPACITY))
