"""Reads the chunks of a PNG (W3C PNG specification, third edition).

Pillow neither finds a PNG without its end, nor compares the checksums of the pixels, and it refuses
images with long texts.
"""

import zlib
from collections.abc import Iterator

from common.errors import Rejected

_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PICTURE = (b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND')
_READ = (b'IHDR', b'tRNS', b'acTL', b'eXIf', b'IEND')


def read_chunks(contents: bytes) -> dict[bytes, bytes]:
    """Reads the payload of the chunks that describe the picture, by their kinds.

    Raises:
        Rejected: the image is truncated, its first chunk is not the header, or a checksum is wrong.
    """
    payloads: dict[bytes, bytes] = {}
    for kind, start, end in _chunks(contents):
        if kind in _READ and kind not in payloads:
            payloads[kind] = contents[start + 8 : end - 4]
    if b'IEND' not in payloads:
        raise Rejected.truncated(contents)
    if contents[12:16] != b'IHDR' or len(payloads[b'IHDR']) < 13:
        raise Rejected('damaged', 'the size of the picture is missing in it')
    _check_checksums(contents)
    return payloads


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
