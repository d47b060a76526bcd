"""Reads the EXIF orientation of image files; `trainer.orientation` reads the same in a graph."""

import struct

_JPEG, _PNG, _EXIF = b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n', b'Exif\0\0'
_APP1, _START_OF_SCAN = 0xE1, 0xDA
_MOST_PARTS, _MOST_ENTRIES = 25_000, 200
# EXIF data is a directory as in TIFF. Pillow ignores the order of the bytes after the first two.
_ORDERS = {b'II*\0': '<', b'II\0*': '<', b'MM\0*': '>', b'MM*\0': '>'}
_ORIENTATION, _SHORT, _LONG = 0x0112, 3, 4  # a tag, and types of its value
_TYPE_BYTES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8)  # 0: Pillow skips the tag


def read_orientation(contents: bytes) -> int:
    """The orientation, 1 (upright) to 8, in a JPEG or PNG file, or in EXIF data.

    It is 1 if there is none, or if it is damaged. Other tags are not read: they may take gigabytes.
    """
    if contents.startswith(_JPEG):
        exif = _exif_of_jpeg(contents)
    elif contents.startswith(_PNG):
        exif = _exif_of_png(contents)
    else:
        exif = contents
    return _orientation(exif.removeprefix(_EXIF))


def _exif_of_jpeg(contents: bytes) -> bytes:
    """The first segment with EXIF data before the picture (ITU-T T.81, annex B)."""
    position = 2
    for _ in range(_MOST_PARTS):
        head = contents[position : position + 4]
        if len(head) < 4 or (head[0] == 0xFF and head[1] == _START_OF_SCAN):
            break
        if head[0] != 0xFF or head[1] == 0xFF:  # fill bytes
            position += 1
            continue
        end = position + 2 + int.from_bytes(head[2:], 'big')
        if head[1] == _APP1 and contents.startswith(_EXIF, position + 4):
            return contents[position + 4 : end]
        position = end
    return b''


def _exif_of_png(contents: bytes) -> bytes:
    """The first chunk of EXIF data (W3C PNG specification)."""
    position = len(_PNG)
    for _ in range(_MOST_PARTS):
        length, name = contents[position : position + 4], contents[position + 4 : position + 8]
        end = position + 8 + int.from_bytes(length, 'big')
        if name == b'eXIf':
            return contents[position + 8 : end]
        if len(name) < 4 or name == b'IEND':
            break
        position = end + 4
    return b''


def _orientation(exif: bytes) -> int:
    order = _ORDERS.get(exif[:4])
    if not order or len(exif) < 8:
        return 1
    (start,) = struct.unpack_from(f'{order}I', exif, 4)
    count = int.from_bytes(exif[start : start + 2], 'little' if order == '<' else 'big')
    found = 1
    for position in range(start + 2, start + 2 + 12 * min(count, _MOST_ENTRIES), 12):
        if position + 12 > len(exif):
            break
        tag, kind, values, value = struct.unpack_from(f'{order}HHII', exif, position)
        size = values * (_TYPE_BYTES[kind] if kind < len(_TYPE_BYTES) else 0)
        if size > 4 and value + size > len(exif):
            break  # Pillow reads no tag after it
        if (tag, values) == (_ORIENTATION, 1) and kind in (_SHORT, _LONG):
            (short,) = struct.unpack_from(f'{order}H', exif, position + 8)
            found = short if kind == _SHORT else value
    return found if found in range(2, 9) else 1
