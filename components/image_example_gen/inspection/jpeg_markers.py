"""Reads the marker segments of a JPEG up to the compressed data (ITU-T T.81, annex B).

Pillow does not find a JPEG without its end, nor one with a coding that TensorFlow cannot decode.
"""

from collections.abc import Iterator
from typing import NamedTuple

from common.errors import Rejected

_SOI, _EOI, _SOS, _APP1 = 0xD8, 0xD9, 0xDA, 0xE1
_EXIF = b'Exif\0\0'
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, _SOI + 1)}  # a stuffed zero, TEM, restart markers, SOI
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_DECODED = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # baseline, extended, progressive; the same, arithmetic


class JpegHeader(NamedTuple):
    """The frame header of a JPEG and its EXIF data, empty if there is none."""

    width: int
    height: int
    channels: int  # 1, 3 or 4
    exif: bytes


def read_jpeg_header(contents: bytes) -> JpegHeader:
    """Reads the segments before the compressed data, and finds the end of the image.

    Raises:
        Rejected: the image is truncated, has no frame header, or has a coding that hardly any
            program decodes.
    """
    frame, exif, end = None, b'', 0
    for marker, start, end in _segments(contents):
        if marker == _APP1 and not exif and contents.startswith(_EXIF, start):
            exif = contents[start:end]
        elif marker in _FRAMES and frame is None:
            frame = marker, contents[start:end]
    if frame is None or len(frame[1]) < 6:
        raise Rejected('damaged', 'the size of the picture is missing in it')
    size = _size(*frame)
    # Decoders accept a JPEG without its end, or with zeros there. Compressed data cannot contain
    # the end marker, as each 0xFF in it is followed by a zero.
    if contents.find(bytes((0xFF, _EOI)), end) < 0:
        raise Rejected.truncated(contents)
    return JpegHeader(*size, exif)


def _segments(contents: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields marker, start and end of the payload of each segment, up to the first scan."""
    position = 2
    while True:
        marker_at = contents.find(b'\xff', position)
        if marker_at < 0 or marker_at + 4 > len(contents):
            raise Rejected.truncated(contents, 'before its picture begins')
        marker = contents[marker_at + 1]
        if marker == 0xFF:  # padding
            position = marker_at + 1
        elif marker in _WITHOUT_LENGTH:
            position = marker_at + 2
        elif marker == _EOI:
            raise Rejected('damaged', 'it holds no picture')
        else:
            start = marker_at + 4
            position = marker_at + 2 + int.from_bytes(contents[marker_at + 2 : start], 'big')
            if position > len(contents):
                raise Rejected.truncated(contents, 'before its picture begins')
            yield marker, start, position
            if marker == _SOS:
                return


def _size(marker: int, frame: bytes) -> tuple[int, int, int]:
    """Width, height and number of channels."""
    bits, channels = frame[0], frame[5]
    if marker not in _DECODED:
        detail = 'it is a JPEG with lossless or hierarchical coding, which hardly any program reads'
    elif bits != 8:
        detail = f'it is a JPEG of {bits} bits, and 8 are usual'
    elif channels not in (1, 3, 4):
        detail = f'it is a JPEG of {channels} colour channels, and 1, 3 or 4 are usual'
    else:
        return int.from_bytes(frame[3:5], 'big'), int.from_bytes(frame[1:3], 'big'), channels
    raise Rejected('unsupported format', detail)
