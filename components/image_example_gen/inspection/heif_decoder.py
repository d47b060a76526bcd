"""Decodes AVIF and HEIC files with Pillow, in a subprocess with limits (`limited_process`).

The size in the header of such a file is not that of its compressed picture, so a decoder may need
any amount of memory.
"""

import io
from collections.abc import Iterator
from typing import Literal, NamedTuple

import PIL
import PIL.Image

from common.errors import Rejected

HeifFormat = Literal['AVIF', 'HEIC']

_PILLOW_NAMES = {'AVIF': 'AVIF', 'HEIC': 'HEIF'}
_ROWS = 64  # decoded pixels are sent in bands of as many rows


class HeifHeader(NamedTuple):
    """The header of an AVIF or HEIC file."""

    width: int  # as stored for AVIF, upright for HEIC, which its decoder turns
    height: int
    frames: int
    exif: bytes


def read_header(contents: bytes, image_format: HeifFormat) -> Iterator[HeifHeader]:
    """Yields the header; may raise any exception of Pillow or of its decoders."""
    with _open(contents, image_format) as image:
        exif = image.info.get('exif') or b''
        yield HeifHeader(*image.size, getattr(image, 'n_frames', 1), exif)


def read_pixels(contents: bytes, image_format: HeifFormat) -> Iterator[tuple[str, int, bytes]]:
    """Yields bands of rows of the first image: mode (RGB or RGBA), number of rows, and pixels."""
    with _open(contents, image_format) as opened:
        opened.load()
        image: PIL.Image.Image = opened
        if image.mode not in ('RGB', 'RGBA'):
            image = image.convert('RGBA' if image.has_transparency_data else 'RGB')
        for top in range(0, image.height, _ROWS):
            band = image.crop((0, top, image.width, min(top + _ROWS, image.height)))
            yield image.mode, band.height, band.tobytes()


def _open(contents: bytes, image_format: HeifFormat) -> PIL.Image.Image:
    PIL.Image.MAX_IMAGE_PIXELS = None  # the caller has its own limit
    if image_format == 'AVIF':
        from PIL import AvifImagePlugin

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each reserves address space
    else:
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
        pillow_heif.options.DECODE_THREADS = 1
    try:
        return PIL.Image.open(io.BytesIO(contents), formats=[_PILLOW_NAMES[image_format]])
    except PIL.UnidentifiedImageError:  # its message has the address of an object
        raise Rejected('damaged', 'its header cannot be read') from None
