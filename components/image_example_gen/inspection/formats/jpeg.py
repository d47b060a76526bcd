"""JPEG files as a row of segments (ITU-T T.81, annex B)."""

from collections.abc import Iterator
from typing import NamedTuple

from common.errors import Rejected
from components.image_example_gen.inspection.formats import exif
from components.image_example_gen.inspection.formats.header import Header, truncated

_SOS, _APP0, _APP1, _APP14, _APP15, _COM = 0xDA, 0xE0, 0xE1, 0xEE, 0xEF, 0xFE
_END = b'\xff\xd9'
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}  # TEM, restart markers, another beginning
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_DECODED = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # baseline, extended, progressive; the same, arithmetic
_COLOURS = {1: None, 3: None, 4: 'CMYK'}


class _Segment(NamedTuple):
    marker: int
    start: int  # of the marker
    end: int

    def payload(self, contents: bytes) -> bytes:
        return contents[self.start + 4 : self.end]


def read_header(contents: bytes) -> Header:
    """What the segments before the compressed data say.

    Raises:
        Rejected: there is no size among them, or it is a JPEG that few programs read.
    """
    frame, orientation, data = None, 1, 0
    for segment in _segments(contents):
        if segment.marker == _APP1 and orientation == 1:
            orientation = exif.orientation(segment.payload(contents))
        elif segment.marker in _FRAMES and frame is None:
            frame = segment
        data = segment.end
    if frame is None:
        raise Rejected('damaged', 'the size of the picture is missing in it')
    width, height, colours = _size(frame, contents)
    # Without its last bytes an image may still decode, and so does one filled up with zeros. The
    # mark cannot be a part of the compressed data, where each 0xFF is followed by a zero.
    whole = contents.find(_END, data) >= 0
    return Header(width, height, whole, colours, orientation=orientation, lossy=True)


def without_metadata(contents: bytes) -> bytes:
    """The same picture without comments and EXIF; what says how its colours are meant is kept."""
    parts, data = [contents[:2]], len(contents)
    for segment in _segments(contents):
        meta = _APP0 <= segment.marker <= _APP15 and segment.marker != _APP14
        if not meta and segment.marker != _COM:
            parts.append(contents[segment.start : segment.end])
        data = segment.end
    return b''.join([*parts, contents[data:]])


def _segments(contents: bytes) -> Iterator[_Segment]:
    """From the first up to the one after which compressed data begins."""
    position = 2
    while True:
        start = contents.find(b'\xff', position)
        if start < 0 or start + 4 > len(contents):
            raise truncated(contents, 'before its picture begins')
        marker = contents[start + 1]
        if marker == 0xFF:  # fills
            position = start + 1
        elif marker == 0x00 or marker in _WITHOUT_LENGTH:
            position = start + 2
        elif marker == _END[1]:
            raise Rejected('damaged', 'it holds no picture')
        else:
            position = start + 2 + int.from_bytes(contents[start + 2 : start + 4], 'big')
            if position > len(contents):
                raise truncated(contents, 'before its picture begins')
            yield _Segment(marker, start, position)
            if marker == _SOS:
                return


def _size(frame: _Segment, contents: bytes) -> tuple[int, int, str | None]:
    """Width, height, and the colours if they are special."""
    values = frame.payload(contents)
    if len(values) < 6:
        raise Rejected('damaged', 'the size of the picture is damaged in it')
    bits, components = values[0], values[5]
    height, width = int.from_bytes(values[1:3], 'big'), int.from_bytes(values[3:5], 'big')
    if frame.marker not in _DECODED:
        detail = 'it is a JPEG with lossless or hierarchical coding, which hardly any program reads'
        raise Rejected('unsupported format', detail)
    if bits != 8:
        raise Rejected('unsupported format', f'it is a JPEG of {bits} bits, and 8 are usual')
    if components not in _COLOURS:
        detail = f'it is a JPEG of {components} colour channels, and 1, 3 or 4 are usual'
        raise Rejected('unsupported format', detail)
    return width, height, _COLOURS[components]
