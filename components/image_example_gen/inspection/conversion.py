"""Converts decoded images to RGB: on white, 8 bits."""

import numpy as np
import PIL.Image
import PIL.TiffImagePlugin

from common.errors import Rejected

_ROWS = 64  # that are converted at once
_MODES = {'RGB', 'L', '1', 'P', 'CMYK', 'YCbCr', 'RGBX', 'RGBA', 'LA', 'PA', 'La', 'RGBa'}
_TAG_BITS, _TAG_PHOTOMETRIC, _TAG_DNG, _WHITE_IS_ZERO = 258, 262, 50706, 0


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """The first frame or page as RGB, on white where it is transparent.

    In a BMP an alpha channel of zeros is no transparency; raises Rejected for other formats.
    """
    if _TAG_DNG in getattr(image, 'tag_v2', ()):
        raise Rejected('unsupported format', 'it is a raw photograph (DNG)')
    image.load()
    if image.mode.startswith('I;16'):
        return _from_16_bits(image)
    if image.mode not in _MODES:
        detail = 'its pixels cannot be converted to RGB, such as floating-point numbers'
        raise Rejected('unsupported format', f'{detail} (mode {image.mode} of Pillow)')
    if not image.has_transparency_data:
        image.info.clear()  # EXIF data and profiles, which Pillow would write again
        return image if image.mode == 'RGB' else image.convert('RGB')
    on_white = PIL.Image.new('RGB', image.size, 'white')
    is_visible = False
    for top in range(0, image.height, _ROWS):
        box = 0, top, image.width, min(top + _ROWS, image.height)
        band = image.crop(box).convert('RGBA')
        on_white.paste(band, box, band)
        is_visible |= any(band.getchannel('A').getextrema())
    if not is_visible:
        if image.format != 'BMP':
            raise Rejected('damaged', 'it is transparent everywhere')
        return image.convert('RGB')
    return on_white


def _from_16_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """The highest 8 bits of gray pixels. TIFFs may have 12 bits, or white as 0."""
    bits, negative = 16, False
    if isinstance(image, PIL.TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2[_TAG_BITS][0]
        negative = image.tag_v2.get(_TAG_PHOTOMETRIC) == _WHITE_IS_ZERO
    gray = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    return PIL.Image.fromarray(255 - gray if negative else gray).convert('RGB')
