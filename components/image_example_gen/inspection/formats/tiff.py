"""The first directory of a TIFF file (TIFF 6.0, Adobe 1992), reduced to what decoding needs.

A TIFF holds any number of tags with anything in them, and Pillow warns of odd ones, which only a
filter for all threads could silence. So it is given those that describe the pixels, checked.
"""

import struct
from typing import NamedTuple

from common.errors import Rejected
from components.image_example_gen.inspection.formats.header import Header, truncated

LITTLE, BIG = b'II*\0', b'MM\0*'
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT, _SAMPLES, _DNG = 256, 257, 322, 323, 277, 50706
_STARTS = {273: 279, 324: 325}  # where strips or tiles start, and their lengths
_TILE = {_TILE_WIDTH, _TILE_HEIGHT}
_SINGLE = {_WIDTH, _HEIGHT, 259, 262, 266, 274, _SAMPLES, 278, 284, 292, 293, 317, *_TILE}
_SEVERAL = {258, *_STARTS, *_STARTS.values(), 320, 338, 339, 347, 529, 530, 532}
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_INTEGERS = {1: 'B', 3: 'H', 4: 'I'}
_ENTRY_BYTES = 12


class _Entry(NamedTuple):
    raw: bytes  # the 12 bytes of it
    kind: int
    number: int
    values: bytes


def read_header(contents: bytes) -> Header:
    """Width and height, and whether all strips or tiles lie in the file.

    Raises:
        Rejected: the directory is damaged, or not in the file; or it is a raw photograph.
    """
    tags = _directory(contents)
    width, height = (_integers(contents, tags, tag) for tag in (_WIDTH, _HEIGHT))
    if not width or not height:
        raise Rejected('damaged', 'the size of the picture is missing in it')
    # The decoder reserves memory for a whole tile, however small the picture is.
    across, down = (_integers(contents, tags, tag) or (1,) for tag in (_TILE_WIDTH, _TILE_HEIGHT))
    if across[0] > 2 * width[0] + 1024 or down[0] > 2 * height[0] + 1024:
        raise Rejected('damaged', f'its tiles are {across[0]:,} by {down[0]:,} pixels')
    whole = all(
        start + length <= len(contents)
        for starts, lengths in _STARTS.items()
        for start, length in zip(
            _integers(contents, tags, starts), _integers(contents, tags, lengths), strict=False
        )
    )
    return Header(width[0], height[0], whole)


def without_metadata(contents: bytes) -> bytes:
    """The same file with a second directory behind it, which holds what decoding needs only."""
    order, entries = (
        _order(contents),
        [entry.raw for _, entry in sorted(_directory(contents).items())],
    )
    padding = b'\0' * (len(contents) % 2)
    directory = struct.pack(order + 'H', len(entries)) + b''.join(entries) + b'\0\0\0\0'
    start = struct.pack(order + 'I', len(contents) + len(padding))
    return b''.join([contents[:4], start, contents[8:], padding, directory])


def _order(contents: bytes) -> str:
    return '<' if contents[:4] == LITTLE else '>'


def _directory(contents: bytes) -> dict[int, _Entry]:
    """The tags that decoding needs, each with its values inside the file."""
    order = _order(contents)
    start = struct.unpack_from(order + 'I', contents, 4)[0] if len(contents) >= 8 else len(contents)
    if start + 2 > len(contents):
        raise truncated(contents, 'before its directory')
    (number,) = struct.unpack_from(order + 'H', contents, start)
    if start + 2 + number * _ENTRY_BYTES > len(contents):
        raise truncated(contents, 'in the middle of its directory')
    tags = {}
    for position in range(start + 2, start + 2 + number * _ENTRY_BYTES, _ENTRY_BYTES):
        tag, kind, count = struct.unpack_from(order + 'HHI', contents, position)
        if tag == _DNG:
            raise Rejected('unsupported format', 'it is a raw photograph (DNG)')
        if tag in _SINGLE or tag in _SEVERAL:
            tags[tag] = _entry(contents, position, tag, kind, count)
    return tags


def _entry(contents: bytes, position: int, tag: int, kind: int, count: int) -> _Entry:
    if kind not in _TYPE_BYTES or not count or (tag in _SINGLE and count != 1):
        raise Rejected('damaged', f'its tag {tag} makes no sense')
    length = count * _TYPE_BYTES[kind]
    raw = contents[position : position + _ENTRY_BYTES]
    start = position + 8
    if length > 4:
        (start,) = struct.unpack(_order(contents) + 'I', raw[8:])
    if start + length > len(contents):
        raise truncated(contents, f'before the values of its tag {tag}')
    return _Entry(raw, kind, count, contents[start : start + length])


def _integers(contents: bytes, tags: dict[int, _Entry], tag: int) -> tuple[int, ...]:
    """Values of a tag; none if it is not there, or has no whole numbers."""
    entry = tags.get(tag)
    if entry is None or entry.kind not in _INTEGERS:
        return ()
    return struct.unpack(f'{_order(contents)}{entry.number}{_INTEGERS[entry.kind]}', entry.values)
