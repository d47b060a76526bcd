"""What a file is, by its first bytes and not by its name."""

from typing import Literal

from common.errors import Rejected
from components.image_example_gen.inspection.formats import bmp, png, tiff

Kind = Literal['JPEG', 'PNG', 'GIF', 'WebP', 'BMP', 'TIFF']

_TAKEN: tuple[tuple[bytes, Kind], ...] = (
    (b'\xff\xd8\xff', 'JPEG'),
    (png.SIGNATURE, 'PNG'),
    (b'GIF87a', 'GIF'),
    (b'GIF89a', 'GIF'),
    (tiff.LITTLE, 'TIFF'),
    (tiff.BIG, 'TIFF'),
)
_OTHER_IMAGES = {
    b'8BPS': 'a Photoshop file',
    b'\0\0\1\0': 'an icon (ICO)',
    b'\0\0\2\0': 'a cursor (CUR)',
    b'\0\0\0\x0cjP  ': 'a JPEG 2000 image',
    b'\xff\x4f\xff\x51': 'a JPEG 2000 image',
    b'\0\0\0\x0cJXL ': 'a JPEG XL image',
    b'\xff\x0a': 'a JPEG XL image',
    b'II\xbc': 'a JPEG XR image',
    b'II+\0': 'a BigTIFF image',
    b'MM\0+': 'a BigTIFF image',
    b'gimp xcf': 'a GIMP file',
    b'v/1\x01': 'an OpenEXR image',
    b'qoif': 'a QOI image',
    b'DDS ': 'a DDS texture',
    b'FUJIFILMCCD-RAW': 'a raw photograph',
    b'IIRO': 'a raw photograph',
    b'IIU\0': 'a raw photograph',
    b'icns': 'an icon (ICNS)',
    b'#?RADIANCE': 'a Radiance image',
    b'\x97JB2': 'a JBIG2 image',
    b'BPG\xfb': 'a BPG image',
    b'FLIF': 'a FLIF image',
    **{b'P%d%c' % (n, space): 'a Netpbm image' for n in range(1, 8) for space in b'\n\r\t '},
}
_OTHER_FILES = {
    b'%PDF': 'a PDF document',
    b'PK\3\4': 'a ZIP archive',
    b'PK\5\6': 'a ZIP archive',
    b'\x1f\x8b': 'a gzip archive',
    b'7z\xbc\xaf': 'a 7z archive',
    b'Rar!': 'a RAR archive',
    b'BZh': 'a bzip2 archive',
    b'\xfd7zXZ': 'an xz archive',
    b'\x28\xb5\x2f\xfd': 'a zstd archive',
    b'\x1aE\xdf\xa3': 'a Matroska or WebM video',
    b'\0\0\1\xba': 'an MPEG video',
    b'\0\0\1\xb3': 'an MPEG video',
    b'FLV\1': 'a Flash video',
    b'OggS': 'an Ogg recording',
    b'ID3': 'an MP3 recording',
    b'\xd0\xcf\x11\xe0': 'a Microsoft Office document or Thumbs.db',
    b'\0\5\x16\7': 'what macOS keeps about a file (its name begins with "._")',
    b'\0\0\0\1Bud1': 'what macOS keeps about a folder (.DS_Store)',
    b'\x7fELF': 'a program',
    b'PAR1': 'a Parquet file',
    b'SQLite format 3': 'an SQLite database',
    b'\x89HDF': 'an HDF5 file',
    b'\x93NUMPY': 'a NumPy array',
    b'%!PS': 'a PostScript document',
    b'version https://git-lfs': 'a pointer of Git LFS, whose file was not fetched',
}
_BRANDS = {
    b'avif': 'an AVIF image',
    b'avis': 'an AVIF image',
    b'mif1': 'a HEIF image',
    b'msf1': 'a HEIF image',
    b'crx ': 'a raw photograph (CR3)',
    **dict.fromkeys([b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx'], 'a HEIC image'),
}
_HEAD = 4096  # bytes that text is recognised by


def kind_of(contents: bytes) -> Kind:
    """Which of the formats that are taken a file has.

    Raises:
        Rejected: none; it says what the file is, if that can be told.
    """
    for magic, kind in _TAKEN:
        if contents.startswith(magic):
            if kind == 'TIFF' and contents[8:10] == b'CR':
                raise Rejected('unsupported format', 'it is a raw photograph (CR2)')
            return kind
    if contents[:4] == b'RIFF' and contents[8:12] == b'WEBP':
        return 'WebP'
    if contents[:2] == b'BM' and int.from_bytes(contents[14:18], 'little') in bmp.HEADER_SIZES:
        return 'BMP'
    raise _other(contents)


def _other(contents: bytes) -> Rejected:
    """What a file is that is not taken."""
    if contents[4:8] == b'ftyp':
        if contents[8:12] in _BRANDS:
            return Rejected('unsupported format', f'it is {_BRANDS[contents[8:12]]}')
        return Rejected('not an image', 'it is an MP4 or QuickTime video')
    for magic, name in _OTHER_IMAGES.items():
        if contents.startswith(magic):
            return Rejected('unsupported format', f'it is {name}')
    for magic, name in _OTHER_FILES.items():
        if contents.startswith(magic):
            return Rejected('not an image', f'it is {name}')
    if contents[:4] == b'RIFF':
        return Rejected('not an image', 'it is an AVI video or a WAV recording')
    if not contents.strip(b'\0'):
        return Rejected('not an image', f'all of its {len(contents):,} bytes are zero')
    return _text(contents[:_HEAD]) or Rejected(
        'not an image', f'it begins with {contents[:8].hex(" ")}, as no known image does'
    )


def _text(head: bytes) -> Rejected | None:
    """Which text it is; none if it is not."""
    if head[:2] in (b'\xff\xfe', b'\xfe\xff'):
        text = head.decode('utf-16', errors='ignore')
    else:
        try:
            text = head.decode()
        except UnicodeDecodeError as error:
            if error.start < len(head) - 4 or len(head) < _HEAD:  # not just cut in a letter
                return None
            text = head[: error.start].decode()
    text = text.removeprefix('\ufeff').lower()
    if any(letter < ' ' and letter not in '\t\n\r\f\x1b' for letter in text):
        return None
    if '<svg' in text:
        return Rejected('unsupported format', 'it is an SVG drawing')
    name = 'HTML' if '<html' in text or '<!doctype html' in text else 'text'
    return Rejected('not an image', f'it is {name}, such as a message that a server sent instead')
