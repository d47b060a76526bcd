"""Walks through the parts of JPEG, PNG, GIF and TIFF files without decoding pixels.

Pillow and TensorFlow accept files that end too early, wrong checksums and bytes between the parts;
the functions here raise Rejected.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from common.errors import Rejected
from common.image_limits import COMPRESSED_TEXTS, PARTS, SEGMENTS

_JPEG_END, _JPEG_SCAN, _JPEG_APP1 = 0xD9, 0xDA, 0xE1
_JPEG_METADATA = {*range(0xE1, 0xF0)} - {0xEE}  # APP1 to APP15, without Adobe's colour transform
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = {0xC2, 0xCA}
_JPEG_DECODED = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # baseline, extended and progressive
_JPEG_SCAN_START = b'\xff\xda\0'  # the marker, and the first byte of a length of 6 to 14
_PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_PNG_PICTURE = (b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND')
_PNG_COMPRESSED = (b'zTXt', b'iTXt', b'iCCP')
_TIFF_SUBDIRECTORIES = (34665, 34853, 40965)  # EXIF, GPS, interoperability
_GIF_CONTROL, _GIF_SUB_BLOCKS = b'\xf9', 1_000_000  # often of 255 bytes
_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER, _GIF_PADDING = 0x21, 0x2C, 0x3B, 0x00


class JpegHeader(NamedTuple):
    """The header of a JPEG."""

    width: int
    height: int
    channels: int  # 1, 3 or 4
    progressive: bool
    exif: bytes
    scans: int  # upper bound; compressed data cannot contain the marker, bytes after the image can


def read_jpeg_header(contents: bytes) -> JpegHeader:
    """Reads the header of a JPEG (ITU-T T.81, annex B)."""
    coding, frame, exif, end = 0, b'', b'', 0
    for marker, start, end in _jpeg_segments(contents):
        if marker == _JPEG_APP1 and not exif and contents.startswith(b'Exif\0\0', start):
            exif = contents[start:end]
        elif marker in _JPEG_FRAMES and not frame:
            coding, frame = marker, contents[start:end]
    if len(frame) < 6:
        raise Rejected('damaged', 'the size of the picture is missing in it')
    bits, channels = frame[0], frame[5]
    if coding not in _JPEG_DECODED or bits != 8 or channels not in (1, 3, 4):
        kind = f'SOF{coding - 0xC0}, {bits} bits, {channels} channels'
        raise Rejected('unsupported format', f'it is a JPEG that few programs decode ({kind})')
    # Decoders accept a JPEG without its end, or with zeros there. Compressed data cannot contain
    # the end marker, as each 0xFF in it is followed by a zero.
    if contents.find(bytes((0xFF, _JPEG_END)), end) < 0:
        raise Rejected.truncated(contents)
    height, width = (int.from_bytes(frame[start : start + 2], 'big') for start in (1, 3))
    scans = 1 + contents.count(_JPEG_SCAN_START, end)
    progressive = coding in _JPEG_PROGRESSIVE
    return JpegHeader(width, height, channels, progressive, exif, scans)


def _jpeg_segments(contents: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields marker, start and end of the payload of each segment, up to the first scan."""
    marker, position = 0, 2
    for _ in range(SEGMENTS):
        start = contents.find(b'\xff', position) + 4
        if start < 4 or start > len(contents):
            raise Rejected.truncated(contents, 'before its picture begins')
        marker = contents[start - 3]
        if marker == _JPEG_END:
            raise Rejected('damaged', 'it holds no picture')
        if marker == 0xFF:  # padding
            position = start - 3
            continue
        position = start - 2 + int.from_bytes(contents[start - 2 : start], 'big')
        if position > len(contents):
            raise Rejected.truncated(contents, 'before its picture begins')
        yield marker, start, position
        if marker == _JPEG_SCAN:
            return
    raise Rejected('too large', f'it has more than {SEGMENTS:,} segments before its picture')


def jpeg_without_metadata(contents: bytes) -> bytes:
    """The same JPEG without EXIF data, previews and profiles, of which Pillow copies each value."""
    parts, position = [], 0
    for marker, start, end in _jpeg_segments(contents):
        if marker in _JPEG_METADATA:
            parts.append(contents[position : start - 4])
            position = end
    return b''.join([*parts, contents[position:]])


def read_png_chunks(contents: bytes) -> dict[bytes, memoryview]:
    """Reads the payload of the first chunk of each kind (W3C PNG specification)."""
    payloads: dict[bytes, memoryview] = {}
    view = memoryview(contents)
    compressed = 0
    for number, (kind, start, end) in enumerate(_png_chunks(contents)):
        compressed += kind in _PNG_COMPRESSED
        if number >= PARTS or compressed > COMPRESSED_TEXTS:
            most = f'{PARTS:,} chunks' if number >= PARTS else f'{COMPRESSED_TEXTS} texts'
            raise Rejected('too large', f'it has more than {most}')
        payloads.setdefault(kind, view[start + 8 : end - 4])
        checksum = int.from_bytes(view[end - 4 : end], 'big')
        if kind in _PNG_PICTURE and zlib.crc32(view[start + 4 : end - 4]) != checksum:
            raise Rejected('damaged', f'the checksum of its chunk at byte {start:,} is wrong')
    if b'IEND' not in payloads:
        raise Rejected.truncated(contents)
    if contents[12:16] != b'IHDR' or len(payloads[b'IHDR']) < 13:
        raise Rejected('damaged', 'the size of the picture is missing in it')
    return payloads


def png_without_metadata(contents: bytes) -> bytes:
    """The same PNG without texts, times, profiles and further frames; Pillow limits their size."""
    deep = contents[24] > 8  # Pillow cannot compare a transparent colour of 16 bits
    kept = [kind for kind in _PNG_PICTURE if not (deep and kind == b'tRNS')]
    parts = [contents[start:end] for kind, start, end in _png_chunks(contents) if kind in kept]
    return b''.join([_PNG_SIGNATURE, *parts])


def _png_chunks(contents: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields kind, start and end of each complete chunk, up to IEND."""
    kind, position = b'', len(_PNG_SIGNATURE)
    while kind != b'IEND' and position + 12 <= len(contents):
        start = position
        position += 12 + int.from_bytes(contents[start : start + 4], 'big')
        if position > len(contents):
            return
        kind = contents[start + 4 : start + 8]
        yield kind, start, position


def read_gif(contents: bytes) -> tuple[int, bytes]:
    """Reads a GIF block by block (GIF89a specification); decompresses nothing.

    Returns the number of frames, and a GIF of only the first: Pillow takes quadratic time to read
    comments.
    """
    if len(contents) < 13:
        raise Rejected.truncated(contents, 'before its picture begins')
    frames, position = 0, 13 + _gif_palette_bytes(contents[10])
    first = [contents[:position]]
    for _ in range(PARTS):
        if position >= len(contents):
            raise Rejected.truncated(contents)
        start, block = position, contents[position]
        if block == _GIF_IMAGE:
            frames += 1
            flags = contents[position + 9] if position + 9 < len(contents) else 0
            position = _end_of_gif_data(contents, position + 11 + _gif_palette_bytes(flags))
        elif block == _GIF_EXTENSION:
            position = _end_of_gif_data(contents, position + 2)
        elif block == _GIF_PADDING:
            position += 1
        elif block != _GIF_TRAILER:
            raise Rejected('damaged', f'byte {position:,} should begin a block')
        elif frames:
            return frames, b''.join([*first, b';'])
        else:
            raise Rejected('damaged', 'it holds no picture')
        control = block == _GIF_EXTENSION and contents[start + 1 : start + 2] == _GIF_CONTROL
        if (not frames and control) or (frames == 1 and block == _GIF_IMAGE):
            first.append(contents[start:position])
    raise Rejected('too large', f'it has more than {PARTS:,} blocks')


def _gif_palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_gif_data(contents: bytes, position: int) -> int:
    """Where a series of sub-blocks ends; after the end of the file if it is truncated."""
    for _ in range(_GIF_SUB_BLOCKS):
        if position >= len(contents) or not contents[position]:
            return position + 1
        position += 1 + contents[position]
    raise Rejected('too large', f'it has more than {_GIF_SUB_BLOCKS:,} blocks')


def read_tiff_directory(contents: bytes) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Yields the entries of the first directory (TIFF 6.0); raises struct.error if it is truncated.

    An entry is its position, tag, type and number of values, and four bytes: the values, or their
    offset if they are longer.
    """
    order = tiff_order(contents)
    (start,) = struct.unpack_from(f'{order}I', contents, 4)
    (number,) = struct.unpack_from(f'{order}H', contents, start)
    for position in range(start + 2, start + 2 + 12 * number, 12):
        yield position, *struct.unpack_from(f'{order}HHI4s', contents, position)


def tiff_order(contents: bytes) -> str:
    """The order of bytes in a TIFF, for `struct`."""
    return '<' if contents.startswith(b'II') else '>'


def tiff_without_subdirectories(contents: bytes) -> bytes:
    """The same TIFF without EXIF directories, of which Pillow copies each value."""
    changed = bytearray(contents)
    for position, tag, *_ in read_tiff_directory(contents):
        if tag in _TIFF_SUBDIRECTORIES:
            changed[position + 4 : position + 8] = bytes(4)  # no values: the tag is ignored
    return bytes(changed)
