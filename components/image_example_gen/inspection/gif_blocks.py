"""Counts the frames of a GIF, block by block (GIF89a specification, CompuServe 1990).

Pillow takes a missing end for the end, and skips bytes that are no block.
"""

from common.errors import Rejected

_EXTENSION, _IMAGE, _TRAILER, _PADDING = 0x21, 0x2C, 0x3B, 0x00
_HEADER_BYTES = 13


def count_frames(contents: bytes) -> int:
    """Counts the frames; decompresses none.

    Raises:
        Rejected: the image is truncated, has no frame, or contains bytes that are no block.
    """
    if len(contents) < _HEADER_BYTES:
        raise Rejected.truncated(contents, 'before its picture begins')
    frames, position = 0, _HEADER_BYTES + _palette_bytes(contents[10])
    while position < len(contents):
        block = contents[position]
        if block == _IMAGE:
            frames += 1
            flags = contents[position + 9 : position + 10] or b'\0'
            position = _end_of_data(contents, position + 11 + _palette_bytes(flags[0]))
        elif block == _EXTENSION:
            position = _end_of_data(contents, position + 2)
        elif block == _PADDING:
            position += 1
        elif block != _TRAILER:
            raise Rejected('damaged', f'byte {position:,} should begin a block')
        elif frames:
            return frames
        else:
            raise Rejected('damaged', 'it holds no picture')
    raise Rejected.truncated(contents)


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_data(contents: bytes, position: int) -> int:
    """Where a series of sub-blocks ends; behind the end of the file if it is truncated."""
    while position < len(contents) and contents[position]:
        position += 1 + contents[position]
    return position + 1
