"""GIF files as a row of blocks (GIF89a specification, CompuServe 1990)."""

from common.errors import Rejected
from components.image_example_gen.inspection.formats.header import Header, truncated

_EXTENSION, _IMAGE, _TRAILER, _PADDING = 0x21, 0x2C, 0x3B, 0x00


def read_header(contents: bytes) -> Header:
    """Size, number of frames, and whether all blocks are there; none is decompressed.

    A first frame that is larger than the canvas makes the canvas larger, as in Pillow.

    Raises:
        Rejected: it is too short to say its size, or something else than a block is in it.
    """
    if len(contents) < 13:
        raise truncated(contents, 'before its picture begins')
    width, height = _pair(contents, 6)
    position = 13 + _palette_bytes(contents[10])
    frames, whole = 0, False
    while position < len(contents) and not whole:
        block = contents[position]
        if block == _IMAGE and position + 10 <= len(contents):
            if not frames:
                (left, top), (across, down) = (
                    _pair(contents, position + 1),
                    _pair(contents, position + 5),
                )
                width, height = max(width, left + across), max(height, top + down)
            frames += 1
            position = _after(contents, position + 11 + _palette_bytes(contents[position + 9]))
        elif block == _EXTENSION:
            position = _after(contents, position + 2)
        elif block in (_TRAILER, _PADDING):
            whole = block == _TRAILER
            position += 1
        elif block == _IMAGE:
            break
        else:
            raise Rejected('damaged', f'what should be a block at byte {position:,} is none')
    if whole and not frames:
        raise Rejected('damaged', 'it holds no picture')
    return Header(width, height, whole, 'palette', max(frames, 1))


def _pair(contents: bytes, position: int) -> tuple[int, int]:
    first, second = contents[position : position + 2], contents[position + 2 : position + 4]
    return int.from_bytes(first, 'little'), int.from_bytes(second, 'little')


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after(contents: bytes, position: int) -> int:
    """Where a row of sub-blocks ends; beyond the file if it does not."""
    while position < len(contents) and contents[position]:
        position += 1 + contents[position]
    return position + 1
