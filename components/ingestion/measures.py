"""How bright, contrasty, sharp and colourful an image is, in four numbers."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image

_LONGER_SIDE = 256  # pixels


class Measures(NamedTuple):
    """Of the image reduced to at most 256 pixels, so that large and small ones are comparable.

    Attributes:
        brightness: mean of luma, 0 (black) to 1 (white).
        contrast: standard deviation of luma in the same unit, 0 to 0.5: RMS contrast (Peli,
            "Contrast in complex images", 1990).
        sharpness: `log(1 + variance of the Laplacian)` of luma from 0 to 255 (Pech-Pacheco et al.,
            "Diatom autofocusing in brightfield microscopy", 2000). The logarithm because the
            variance has a long tail; 0 for one plain colour, about 5 to 9 for photographs.
        colourfulness: M3 of Hasler and Suesstrunk, "Measuring colourfulness in natural images"
            (2003), of colours from 0 to 255: 0 for gray, about 110 for extremely colourful.
    """

    brightness: float
    contrast: float
    sharpness: float
    colourfulness: float


def reduced(image: PIL.Image.Image) -> PIL.Image.Image:
    """The image averaged over squares, so that its longer side is at most 256 pixels."""
    factor = -(-max(image.size) // _LONGER_SIDE)
    return image.reduce(factor) if factor > 1 else image


def measure(image: PIL.Image.Image) -> Measures:
    """Measures an image.

    Luma is that of ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B, rounded); the Laplacian is the sum
    of differences to the four neighbours, where beyond an edge its pixel is repeated.

    Args:
        image: of mode RGB and any size; it is reduced first.
    """
    image = reduced(image)
    gray = image.convert('L')
    brightness, contrast = _mean_and_deviation(np.asarray(gray))
    luma, red, green, blue = (np.asarray(band).astype(np.int16) for band in (gray, *image.split()))
    sharpness = math.log1p(_mean_and_deviation(_laplacian(luma))[1] ** 2)
    red_green = _mean_and_deviation(red - green)
    yellow_blue = _mean_and_deviation(red + green - 2 * blue)  # twice what it is defined as
    centre, spread = (math.hypot(a, b / 2) for a, b in zip(red_green, yellow_blue, strict=True))
    return Measures(brightness / 255, contrast / 255, sharpness, spread + 0.3 * centre)


def _mean_and_deviation(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Of whole numbers; their sums are exact in float64, so the same on each processor."""
    flat = values.astype(np.float64).ravel()
    mean = float(flat.sum()) / flat.size
    return mean, math.sqrt(max(0.0, float(np.einsum('i,i', flat, flat)) / flat.size - mean**2))


def _laplacian(luma: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    laplacian = np.zeros_like(luma)
    down, across = luma[1:] - luma[:-1], luma[:, 1:] - luma[:, :-1]
    laplacian[:-1] += down
    laplacian[1:] -= down
    laplacian[:, :-1] += across
    laplacian[:, 1:] -= across
    return laplacian
