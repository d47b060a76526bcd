"""PNG files as a row of chunks (W3C recommendation, third edition)."""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from common.errors import Rejected
from components.image_example_gen.inspection.formats import exif
from components.image_example_gen.inspection.formats.header import Header

SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PICTURE = (b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND')
_PALETTE, _GRAY_ALPHA, _RGBA = 3, 4, 6


class _Chunk(NamedTuple):
    kind: bytes
    start: int  # of its length
    end: int  # after its checksum

    def payload(self, contents: bytes) -> bytes:
        return contents[self.start + 8 : self.end - 4]


def read_header(contents: bytes) -> Header:
    """What its chunks say; none is decompressed.

    Raises:
        Rejected: the first chunk is not the header.
    """
    first: dict[bytes, bytes] = {}
    for chunk in _chunks(contents):
        if chunk.kind not in first:
            first[chunk.kind] = b'' if chunk.kind == b'IDAT' else chunk.payload(contents)
    header = contents[16:29]
    if contents[12:16] != b'IHDR' or len(header) < 13:
        raise Rejected('damaged', 'the size of the picture is missing in it')
    bits, kind = header[8], header[9]
    frames = int.from_bytes(first.get(b'acTL', b'')[:4], 'big')
    return Header(
        width=int.from_bytes(header[:4], 'big'),
        height=int.from_bytes(header[4:8], 'big'),
        whole=b'IEND' in first,
        colours=_colours(bits, kind, b'tRNS' in first),
        frames=max(frames, 1),
        orientation=exif.orientation(first.get(b'eXIf', b'')),
    )


def without_metadata(contents: bytes) -> bytes:
    """The same picture without texts, times, profiles and further frames: chunks, not pixels."""
    deep = contents[24] > 8  # a transparent colour of 16 bits is more than Pillow can compare
    kept = [kind for kind in _PICTURE if not (deep and kind == b'tRNS')]
    parts = [contents[c.start : c.end] for c in _chunks(contents) if c.kind in kept]
    return b''.join([SIGNATURE, *parts])


def check(contents: bytes) -> None:
    """Compares the checksums of all chunks that make the picture; Pillow does not.

    Raises:
        Rejected: one is wrong.
    """
    view = memoryview(contents)
    for chunk in _chunks(contents):
        checksum = int.from_bytes(contents[chunk.end - 4 : chunk.end], 'big')
        if chunk.kind in _PICTURE and zlib.crc32(view[chunk.start + 4 : chunk.end - 4]) != checksum:
            detail = f'the checksum of its part at byte {chunk.start:,} is wrong'
            raise Rejected('damaged', detail)


def _chunks(contents: bytes) -> Iterator[_Chunk]:
    """From the first to the last, or to the last whole one where the end is missing."""
    position = len(SIGNATURE)
    while position + 12 <= len(contents):
        end = position + 12 + int.from_bytes(contents[position : position + 4], 'big')
        if end > len(contents):
            return
        chunk = _Chunk(contents[position + 4 : position + 8], position, end)
        yield chunk
        if chunk.kind == b'IEND':
            return
        position = end


def _colours(bits: int, kind: int, transparent: bool) -> str | None:
    if kind in (_GRAY_ALPHA, _RGBA) or (transparent and bits <= 8):
        return 'transparency'
    if kind == _PALETTE:
        return 'palette'
    return None if bits == 8 else f'{bits} bit'
