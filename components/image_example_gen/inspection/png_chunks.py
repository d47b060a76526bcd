"""Reads the chunks of a PNG (W3C PNG specification, third edition).

Pillow neither finds a PNG without its end, nor compares the checksums of the pixels, and it refuses
images with long texts.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from components.image_example_gen.inspection.rejected import Rejected, truncated

_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PICTURE = (b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND')
_READ = (b'tRNS', b'acTL', b'eXIf', b'IEND')


class PngHeader(NamedTuple):
    """The IHDR chunk of a PNG, and what its ancillary chunks add."""

    width: int
    height: int
    bits: int  # per channel
    colour_type: int
    transparent: bool  # has a tRNS chunk
    frames: int  # as the acTL chunk of an animated PNG says; 0 without one
    exif: bytes  # empty if there is none


def read_png_header(contents: bytes) -> PngHeader:
    """Reads the chunks and checks those that make the picture; decompresses none.

    Raises:
        Rejected: the image is truncated, its first chunk is not the header, or a checksum is wrong.
    """
    payloads: dict[bytes, bytes] = {}
    for kind, start, end in _chunks(contents):
        if kind in _READ and kind not in payloads:
            payloads[kind] = contents[start + 8 : end - 4]
    if b'IEND' not in payloads:
        raise truncated(contents)
    if contents[12:16] != b'IHDR':
        raise Rejected('damaged', 'the size of the picture is missing in it')
    _check_checksums(contents)
    header = contents[16:29]
    return PngHeader(
        width=int.from_bytes(header[:4], 'big'),
        height=int.from_bytes(header[4:8], 'big'),
        bits=header[8],
        colour_type=header[9],
        transparent=b'tRNS' in payloads,
        frames=int.from_bytes(payloads.get(b'acTL', b'')[:4], 'big'),
        exif=payloads.get(b'eXIf', b''),
    )


def without_metadata(contents: bytes) -> bytes:
    """The same picture without texts, times, profiles and further frames."""
    deep = contents[24] > 8  # Pillow cannot compare a transparent colour of 16 bits
    kept = [kind for kind in _PICTURE if not (deep and kind == b'tRNS')]
    parts = [contents[start:end] for kind, start, end in _chunks(contents) if kind in kept]
    return b''.join([_SIGNATURE, *parts])


def _check_checksums(contents: bytes) -> None:
    view = memoryview(contents)
    for kind, start, end in _chunks(contents):
        checksum = int.from_bytes(view[end - 4 : end], 'big')
        if kind in _PICTURE and zlib.crc32(view[start + 4 : end - 4]) != checksum:
            raise Rejected('damaged', f'the checksum of its chunk at byte {start:,} is wrong')


def _chunks(contents: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, start and end of each complete chunk, up to IEND."""
    position = len(_SIGNATURE)
    while position + 12 <= len(contents):
        end = position + 12 + int.from_bytes(contents[position : position + 4], 'big')
        if end > len(contents):
            return
        kind = contents[position + 4 : position + 8]
        yield kind, position, end
        if kind == b'IEND':
            return
        position = end
