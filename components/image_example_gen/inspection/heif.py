"""AVIF and HEIC files: complete boxes, header and pixels, decoded in a subprocess with limits."""

import re
import struct
from collections.abc import Callable, Iterator
from typing import TypeVar

import PIL.Image

from common.errors import CallFailed, Rejected
from common.image_limits import PARTS
from components.image_example_gen.inspection import heif_decoder
from components.image_example_gen.inspection.heif_decoder import HeifFormat, HeifHeader
from components.image_example_gen.limited_process import Limits, call

_LIMITS = Limits(seconds=30)  # of an image, which needs up to 15 bytes a pixel
_MOST_PIXELS = 2**28  # limit of libavif
_SIZE = re.compile(rb'\0\0\0\x14ispe\0{4}(.{8})', re.DOTALL)
_Answer = TypeVar('_Answer')


def read_heif_header(contents: bytes, image_format: HeifFormat) -> HeifHeader:
    """Reads the header; raises Rejected if it is damaged or the file is truncated."""
    _require_complete_boxes(contents)
    sizes = (struct.unpack('>II', match[1]) for match in _SIZE.finditer(contents))
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))
    if width * height > _MOST_PIXELS:  # decoders have messages of their own
        return HeifHeader(width, height, 1, b'')
    (header,) = _call(heif_decoder.read_header, contents, image_format)
    return header


def decode_heif(
    contents: bytes, image_format: HeifFormat, size: tuple[int, int]
) -> PIL.Image.Image:
    """Decodes the first picture to RGB or RGBA; raises Rejected if it has not this size."""
    image, top = None, 0
    for mode, rows, pixels in _call(heif_decoder.read_pixels, contents, image_format):
        image = image or PIL.Image.new(mode, size)
        if len(pixels) != len(mode) * size[0] * rows or top + rows > size[1]:
            break
        image.paste(PIL.Image.frombytes(mode, (size[0], rows), pixels), (0, top))
        top += rows
    if image is None or top != size[1]:
        raise Rejected('damaged', 'it holds two sizes that contradict each other')
    return image


def _call(
    function: Callable[[bytes, HeifFormat], Iterator[_Answer]],
    contents: bytes,
    image_format: HeifFormat,
) -> Iterator[_Answer]:
    try:
        yield from call(_LIMITS, function, contents, image_format)
    except CallFailed as error:
        above = re.search('limit exceeded|needs more than|takes longer', str(error))
        raise Rejected(
            'too large' if above else 'damaged', f'it cannot be decoded: {error}'
        ) from None


def _require_complete_boxes(contents: bytes) -> None:
    """Walks through the boxes (ISO/IEC 14496-12); raises Rejected if one is incomplete."""
    position = 0
    for _ in range(PARTS):
        if position == len(contents):
            return
        size = int.from_bytes(contents[position : position + 4], 'big')
        if size == 1:
            size = int.from_bytes(contents[position + 8 : position + 16], 'big')
        elif size == 0 and position:  # up to the end
            return
        if size < 8:
            raise Rejected('damaged', f'byte {position:,} should begin a box')
        position += size
        if position > len(contents):
            raise Rejected.truncated(contents)
    raise Rejected('too large', f'it has more than {PARTS:,} boxes')
