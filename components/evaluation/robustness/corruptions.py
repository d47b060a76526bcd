"""Copies of an image that are worse in one way, as cameras, senders and thumbs make them.

Follows Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (ICLR 2019): images are changed in the size in which the model sees them, and the
same one always in the same way. Noise and blur have the strengths 1, 3 and 5 of the paper; darkness
and rotation are not in it. JPEG is harder on a small picture than on the photograph that it was
made of.
"""

import io
import zlib
from collections.abc import Callable

import numpy as np
import PIL.Image
import PIL.ImageFilter

SEVERITIES = (1, 2, 3)

_NOISE = (0.08, 0.18, 0.38)  # standard deviation, of values from 0 to 1
_BLUR = (1.0, 3.0, 6.0)  # standard deviation, in pixels of an image of _PAPER_SIZE
_PAPER_SIZE = 224
_JPEG_QUALITY = (25, 15, 10)
_LIGHT = (0.6, 0.35, 0.15)  # that is left
_DEGREES = (15, 30, 45)

_Strength = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def corrupt(pixels: np.ndarray, corruption: str, severity: int, sha256: str) -> np.ndarray:
    """A copy that is worse.

    Args:
        pixels: uint8 [height, width, 3].
        corruption: a key of CORRUPTIONS.
        severity: one of SEVERITIES.
        sha256: of the image, hexadecimal; decides what chance decides.
    """
    seed = [int(sha256[:16], 16), zlib.crc32(corruption.encode()), severity]
    return CORRUPTIONS[corruption](pixels, severity - 1, np.random.default_rng(seed))


def _noise(pixels: np.ndarray, place: int, random: np.random.Generator) -> np.ndarray:
    added = random.standard_normal(pixels.shape, np.float32) * (255 * _NOISE[place])
    return (pixels + added).round().clip(0, 255).astype(np.uint8)


def _blur(pixels: np.ndarray, place: int, random: np.random.Generator) -> np.ndarray:
    radius = _BLUR[place] * min(pixels.shape[:2]) / _PAPER_SIZE
    image = PIL.Image.fromarray(pixels)
    return np.asarray(image.filter(PIL.ImageFilter.GaussianBlur(radius)))


def _jpeg(pixels: np.ndarray, place: int, random: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, 'JPEG', quality=_JPEG_QUALITY[place])
    return np.asarray(PIL.Image.open(file))


def _darkness(pixels: np.ndarray, place: int, random: np.random.Generator) -> np.ndarray:
    return (pixels * np.float32(_LIGHT[place])).round().astype(np.uint8)


def _rotation(pixels: np.ndarray, place: int, random: np.random.Generator) -> np.ndarray:
    """To either side. What comes into view is a mirror image: black corners would be a hint."""
    height, width = pixels.shape[:2]
    margins = ((height // 2, height // 2), (width // 2, width // 2), (0, 0))
    around = PIL.Image.fromarray(np.pad(pixels, margins, mode='symmetric'))
    degrees = _DEGREES[place] * random.choice((-1, 1))
    turned = around.rotate(degrees, PIL.Image.Resampling.BILINEAR)
    left, top = width // 2, height // 2
    return np.asarray(turned.crop((left, top, left + width, top + height)))


CORRUPTIONS: dict[str, _Strength] = {
    'noise': _noise,
    'blur': _blur,
    'jpeg': _jpeg,
    'darkness': _darkness,
    'rotation': _rotation,
}
