"""The orientation of a photograph, from its EXIF data.

Pillow reads EXIF as well, but warns where it is corrupt, and only a filter for all threads could
silence that.
"""

import struct

import PIL.Image

_MARK = b'Exif\0\0'
_ORIENTATION, _SHORT, _ENTRY_BYTES = 0x0112, 3, 12
_TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}


def orientation(exif: bytes) -> int:
    """1 to 8, as tag 0x0112 of EXIF 2.3 says; 1 if it says nothing that makes sense."""
    exif = exif.removeprefix(_MARK)
    order = {b'II*\0': '<', b'MM\0*': '>'}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    start = struct.unpack_from(order + 'I', exif, 4)[0]
    entries = min(int.from_bytes(exif[start : start + 2], 'little' if order == '<' else 'big'), 512)
    for entry in range(start + 2, start + 2 + entries * _ENTRY_BYTES, _ENTRY_BYTES):
        if entry + _ENTRY_BYTES > len(exif):
            break
        tag, kind, count, value = struct.unpack_from(order + 'HHIH', exif, entry)
        if (tag, kind, count) == (_ORIENTATION, _SHORT, 1):
            return value if value in _TURNS else 1
    return 1


def upright(image: PIL.Image.Image, orientation: int) -> PIL.Image.Image:
    """The image turned as its orientation says, like `PIL.ImageOps.exif_transpose`."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
