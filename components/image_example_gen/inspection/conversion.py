"""Converts decoded images to RGB: upright, on white, 8 bits."""

from collections.abc import Callable, Iterator

import numpy as np
import PIL.Image
import PIL.TiffImagePlugin

from common.errors import Rejected

_ROWS = 64  # that are converted at once
_OPAQUE = {'RGB', 'L', '1', 'P', 'CMYK', 'YCbCr', 'RGBX'}
_TRANSPARENT = {'RGBA', 'LA', 'PA', 'La', 'RGBa'}
_TAG_BITS, _TAG_PHOTOMETRIC, _TAG_DNG, _WHITE_IS_ZERO = 258, 262, 50706, 0


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """A view of the upright image."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels[::-1] if orientation in (3, 4, 7, 8) else pixels


def from_pixels(pixels: np.ndarray) -> PIL.Image.Image:
    """The RGB image of pixels, RGB or RGBA."""
    height, width = pixels.shape[:2]

    def bands() -> Iterator[PIL.Image.Image]:
        for top in range(0, height, _ROWS):
            yield PIL.Image.fromarray(np.ascontiguousarray(pixels[top : top + _ROWS]))

    return _to_rgb(bands, (width, height))


def from_pillow(image: PIL.Image.Image) -> PIL.Image.Image:
    """The first frame or page as RGB."""
    if _TAG_DNG in getattr(image, 'tag_v2', ()):
        raise Rejected('unsupported format', 'it is a raw photograph (DNG)')
    image.load()
    if image.mode.startswith('I;16'):
        return _from_16_bits(image)
    if image.mode not in _OPAQUE | _TRANSPARENT:
        detail = 'its pixels cannot be converted to RGB, such as floating-point numbers'
        raise Rejected('unsupported format', f'{detail} (mode {image.mode} of Pillow)')
    if not image.has_transparency_data:
        image.info.clear()  # EXIF data and profiles, which Pillow would write again
        return image.convert('RGB')

    def bands() -> Iterator[PIL.Image.Image]:
        for top in range(0, image.height, _ROWS):
            band = image.crop((0, top, image.width, min(top + _ROWS, image.height)))
            yield band.convert('RGBA')

    return _to_rgb(bands, image.size, is_bmp=image.format == 'BMP')


def _to_rgb(
    bands: Callable[[], Iterator[PIL.Image.Image]], size: tuple[int, int], *, is_bmp: bool = False
) -> PIL.Image.Image:
    """Joins bands of rows, on white where they are transparent.

    In a BMP an alpha channel of zeros is no transparency; raises Rejected for other formats.
    """
    is_opaque = all(band.mode == 'RGB' for band in bands())
    if not is_opaque and not any(band.getchannel('A').getextrema()[1] for band in bands()):
        if not is_bmp:
            raise Rejected('damaged', 'it is transparent everywhere')
        is_opaque = True
    joined, top = PIL.Image.new('RGB', size, 'white'), 0
    for band in bands():
        joined.paste(
            band.convert('RGB') if is_opaque else band, (0, top), None if is_opaque else band
        )
        top += band.height
    return joined


def _from_16_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """The highest 8 bits of gray pixels. TIFFs may have 12 bits, or white as 0."""
    bits, negative = 16, False
    if isinstance(image, PIL.TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2[_TAG_BITS][0]
        negative = image.tag_v2.get(_TAG_PHOTOMETRIC) == _WHITE_IS_ZERO
    gray = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    return PIL.Image.fromarray(255 - gray if negative else gray).convert('RGB')
