"""Image corruptions: noise, blur, JPEG compression, darkness and rotation.

Follows Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (ICLR 2019): corruptions are deterministic, and applied at the model's input size.
Noise and blur have the severities 1, 3 and 5 of the paper; it has no darkness and no rotation. JPEG
compression is stronger at the input size than on the original photograph.
"""

import io
import zlib
from collections.abc import Callable

import numpy as np
import PIL.Image
import PIL.ImageFilter

SEVERITIES = (1, 2, 3)

_NOISE = (0.08, 0.18, 0.38)  # standard deviation, for values from 0 to 1
_BLUR = (1.0, 3.0, 6.0)  # standard deviation in pixels, at _PAPER_SIZE
_PAPER_SIZE = 224
_JPEG_QUALITY = (25, 15, 10)
_LIGHT = (0.6, 0.35, 0.15)  # factor
_DEGREES = (15, 30, 45)

_Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


def corrupt(pixels: np.ndarray, corruption: str, severity: int, sha256: str) -> np.ndarray:
    """Returns a corrupted copy.

    Args:
        pixels: uint8 [height, width, 3].
        corruption: key of CORRUPTIONS.
        severity: one of SEVERITIES.
        sha256: hexadecimal digest of the image, the random seed.
    """
    seed = [int(sha256[:16], 16), zlib.crc32(corruption.encode()), severity]
    return CORRUPTIONS[corruption](pixels, severity - 1, np.random.default_rng(seed))


def _noise(pixels: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    added = random.standard_normal(pixels.shape, np.float32) * (255 * _NOISE[level])
    return (pixels + added).round().clip(0, 255).astype(np.uint8)


def _blur(pixels: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    radius = _BLUR[level] * min(pixels.shape[:2]) / _PAPER_SIZE
    image = PIL.Image.fromarray(pixels)
    return np.asarray(image.filter(PIL.ImageFilter.GaussianBlur(radius)))


def _jpeg(pixels: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, 'JPEG', quality=_JPEG_QUALITY[level])
    return np.asarray(PIL.Image.open(file))


def _darkness(pixels: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    return (pixels * np.float32(_LIGHT[level])).round().astype(np.uint8)


def _rotation(pixels: np.ndarray, level: int, random: np.random.Generator) -> np.ndarray:
    """Rotates left or right, with mirrored borders: black corners would reveal the rotation."""
    height, width = pixels.shape[:2]
    margins = ((height // 2, height // 2), (width // 2, width // 2), (0, 0))
    padded = PIL.Image.fromarray(np.pad(pixels, margins, mode='symmetric'))
    degrees = _DEGREES[level] * random.choice((-1, 1))
    rotated = padded.rotate(degrees, PIL.Image.Resampling.BILINEAR)
    left, top = width // 2, height // 2
    return np.asarray(rotated.crop((left, top, left + width, top + height)))


CORRUPTIONS: dict[str, _Corruption] = {
    'noise': _noise,
    'blur': _blur,
    'jpeg': _jpeg,
    'darkness': _darkness,
    'rotation': _rotation,
}
