"""Brightness, contrast, sharpness, colourfulness and perceptual hash of an image."""

import dataclasses
import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image

_LONGER_SIDE = 256  # pixels
_HASH_SIDE, _FREQUENCIES = 64, 16  # pixels, and frequencies of each direction
# The `[16, 64]` lowest rows of the DCT-II, as whole numbers. All sums of the transform are whole
# numbers below 2**46, which float64 holds exactly: the hash is the same on each processor.
_COSINES = np.round(
    2**12
    * np.cos(np.pi / _HASH_SIDE * np.outer(np.arange(_FREQUENCIES), np.arange(_HASH_SIDE) + 0.5))
)


class Measures(NamedTuple):
    """Of the image reduced to at most 256 pixels, so that large and small ones are comparable."""

    brightness: float  # mean of luma (ITU-R BT.601), 0 (black) to 1 (white)
    contrast: float  # standard deviation of luma, 0 to 0.5: RMS contrast (Peli, 1990)
    # `log(1 + variance of the Laplacian)` of luma from 0 to 255 (Pech-Pacheco et al., 2000): 0 for
    # one plain colour, about 5 to 9 for photographs
    sharpness: float
    # M3 of Hasler and Suesstrunk, "Measuring colourfulness in natural images" (2003), of colours
    # from 0 to 255: 0 for gray, about 110 for extremely colourful
    colourfulness: float


@dataclasses.dataclass(frozen=True)
class GoodImage:
    """An image that TensorFlow decodes, and its measures."""

    contents: bytes  # for `tf.io.decode_image(channels=3)`; those of the file where possible
    format: Literal['jpeg', 'png']
    width: int  # upright
    height: int
    measures: Measures
    perceptual_hash: bytes


def reduced(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image averaged over squares, so that its longer side is at most 256 pixels."""
    factor = reduction(*image.size)
    return image.reduce(factor) if factor > 1 else image


def reduction(width: int, height: int) -> int:
    """The side in pixels of the squares of `reduced`."""
    return -(-max(width, height) // _LONGER_SIDE)


def scale_for(width: int, height: int) -> int:
    """How much smaller a JPEG may be decoded, 1, 2, 4 or 8 times, to be reduced from there."""
    return max(scale for scale in (1, 2, 4, 8) if scale <= reduction(width, height))


def measure(image: PIL.Image.Image) -> Measures:
    """Measures an RGB image of any size."""
    image = reduced(image)
    bands = (image.convert('L'), *image.split())
    luma, red, green, blue = (np.asarray(band).astype(np.int16) for band in bands)
    axes = red - green, red + green - 2 * blue  # opponent colours, the second at twice its size
    means, deviations = _moments(np.stack([luma, _laplacian(luma), *axes]))
    centre, spread = (math.hypot(values[2], values[3] / 2) for values in (means, deviations))
    return Measures(
        brightness=means[0] / 255,
        contrast=deviations[0] / 255,
        sharpness=math.log1p(deviations[1] ** 2),
        colourfulness=spread + 0.3 * centre,
    )


def _moments(channels: npt.NDArray[np.int16]) -> tuple[list[float], list[float]]:
    """Means and standard deviations of channels; sums of whole numbers are exact in float64."""
    flat = channels.reshape(len(channels), -1).astype(np.float64)
    means = flat.sum(axis=1) / flat.shape[1]
    variances = np.einsum('ij,ij->i', flat, flat) / flat.shape[1] - means**2
    return means.tolist(), np.sqrt(variances.clip(0)).tolist()


def _laplacian(luma: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """The sum of differences to the four neighbours; beyond an edge its pixel is repeated."""
    laplacian = np.zeros_like(luma)
    down, across = luma[1:] - luma[:-1], luma[:, 1:] - luma[:, :-1]
    laplacian[:-1] += down
    laplacian[1:] -= down
    laplacian[:, :-1] += across
    laplacian[:, 1:] -= across
    return laplacian


def perceptual_hash(image: PIL.Image.Image) -> bytes:
    """DCT hash of an RGB image ("pHash"; Zauner, "Perceptual image hash functions", 2010).

    Each bit of the 32 bytes says whether one of the 16x16 lowest frequencies of the luma is above
    their median; the first, the mean of the image, is 0. One plain colour gives zeros.

    Hamming distances that were measured on photographs and drawings: unrelated ones 72 and more,
    JPEG of quality 30 up to 12, half the size up to 6, brightness times 1.2 up to 22, 2 % cropped
    up to 36.
    """
    size = _HASH_SIDE, _HASH_SIDE
    luma = reduced(image).convert('L').resize(size, PIL.Image.Resampling.BILINEAR)
    frequencies = (_COSINES @ np.asarray(luma, np.float64) @ _COSINES.T).ravel()
    above = frequencies > np.median(frequencies[1:])
    above[0] = False
    return np.packbits(above).tobytes()
