"""WebP files as a row of RIFF chunks (RFC 9649)."""

from common.errors import Rejected
from components.image_example_gen.inspection.formats import exif
from components.image_example_gen.inspection.formats.header import Header, truncated

_FRAME_HEADER = 16  # bytes of an animation's frame before the chunk with its picture


def read_header(contents: bytes) -> Header:
    """Size, number of frames and kind, before libwebp reserves memory for them.

    Raises:
        Rejected: there is no picture in it.
    """
    end = 8 + int.from_bytes(contents[4:8], 'little')
    whole = end <= len(contents) + 1  # some writers leave the last byte out if it only fills up
    frames, orientation, size, lossy = 0, 1, None, None
    position = 12
    while position + 8 <= min(end, len(contents)):
        kind = contents[position : position + 4]
        length = int.from_bytes(contents[position + 4 : position + 8], 'little')
        start = position + 8
        if kind == b'EXIF':
            orientation = exif.orientation(contents[start : start + length])
        elif kind == b'ANMF':
            frames += 1
            kind = contents[start + _FRAME_HEADER : start + _FRAME_HEADER + 4]
        elif size is None and kind in (b'VP8X', b'VP8 ', b'VP8L'):
            size = _size(kind, contents[start : start + 10])
        if lossy is None and kind in (b'VP8 ', b'VP8L'):
            lossy = kind == b'VP8 '
        position = start + length + length % 2
    if size is None:
        raise (
            Rejected('damaged', 'the size of the picture is missing in it')
            if whole
            else truncated(contents, 'before its picture begins')
        )
    return Header(*size, whole, None, max(frames, 1), orientation, bool(lossy))


def _size(kind: bytes, values: bytes) -> tuple[int, int]:
    """Width and height; 0 where the bytes are too few."""
    if kind == b'VP8X':
        return int.from_bytes(values[4:7], 'little') + 1, int.from_bytes(values[7:10], 'little') + 1
    if kind == b'VP8 ':
        width, height = values[6:8], values[8:10]
        return int.from_bytes(width, 'little') & 0x3FFF, int.from_bytes(height, 'little') & 0x3FFF
    bits = int.from_bytes(values[1:5], 'little')
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
