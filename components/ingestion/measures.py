"""How bright, contrasty, sharp and colourful an image is, in four numbers."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import PIL.Image

_LONGER_SIDE = 256  # pixels

Channel = npt.NDArray[np.float32]


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
    luma = np.asarray(image.convert('L'), np.float32)
    return Measures(
        brightness=float(luma.mean()) / 255,
        contrast=float(luma.std()) / 255,
        sharpness=math.log1p(float(_laplacian(luma).var())),
        colourfulness=_colourfulness(np.asarray(image, np.float32)),
    )


def _laplacian(luma: Channel) -> Channel:
    laplacian = np.zeros_like(luma)
    down, across = np.diff(luma, axis=0), np.diff(luma, axis=1)
    laplacian[:-1] += down
    laplacian[1:] -= down
    laplacian[:, :-1] += across
    laplacian[:, 1:] -= across
    return laplacian


def _colourfulness(pixels: Channel) -> float:
    """Spread and mean of two opponent axes: red to green, and yellow to blue."""
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    red_green = red - green
    yellow_blue = (red + green) / 2 - blue
    spread = math.hypot(red_green.std(), yellow_blue.std())
    return spread + 0.3 * math.hypot(red_green.mean(), yellow_blue.mean())
