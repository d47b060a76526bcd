"""Detects the format of a file by its first bytes; file names are ignored."""

from typing import Literal

from common.errors import Rejected

ImageFormat = Literal['JPEG', 'PNG', 'GIF', 'WebP', 'BMP', 'TIFF']

_SUPPORTED: dict[bytes, ImageFormat] = {
    b'\xff\xd8\xff': 'JPEG',
    b'\x89PNG\r\n\x1a\n': 'PNG',
    b'GIF87a': 'GIF',
    b'GIF89a': 'GIF',
    b'II*\0': 'TIFF',
    b'MM\0*': 'TIFF',
}
_BMP_HEADER_SIZES = (12, 16, 40, 52, 56, 64, 108, 124)
_OTHER_IMAGES = {
    b'8BPS': 'a Photoshop file',
    b'\0\0\1\0': 'an icon (ICO)',
    b'icns': 'an icon (ICNS)',
    b'\0\0\0\x0cjP  ': 'a JPEG 2000 image',
    b'\xff\x4f\xff\x51': 'a JPEG 2000 image',
    b'\0\0\0\x0cJXL ': 'a JPEG XL image',
    b'\xff\x0a': 'a JPEG XL image',
    b'II+\0': 'a BigTIFF image',
    b'MM\0+': 'a BigTIFF image',
    b'gimp xcf': 'a GIMP file',
    b'v/1\x01': 'an OpenEXR image',
    b'qoif': 'a QOI image',
    b'DDS ': 'a DDS texture',
    b'FUJIFILMCCD-RAW': 'a raw photograph',
    b'IIRO': 'a raw photograph',
    b'IIU\0': 'a raw photograph',
    **{b'P%d%c' % (n, space): 'a Netpbm image' for n in range(1, 8) for space in b'\n\r\t '},
}
_OTHER_FILES = {
    b'%PDF': 'a PDF document',
    b'PK\3\4': 'a ZIP archive',
    b'\x1f\x8b': 'a gzip archive',
    b'7z\xbc\xaf': 'a 7z archive',
    b'Rar!': 'a RAR archive',
    b'\x1aE\xdf\xa3': 'a Matroska or WebM video',
    b'\xd0\xcf\x11\xe0': 'a Microsoft Office document or Thumbs.db',
    b'\0\5\x16\7': 'macOS metadata of a file (its name begins with "._")',
    b'\0\0\0\1Bud1': 'macOS metadata of a folder (.DS_Store)',
    b'version https://git-lfs': 'a Git LFS pointer, whose file was not fetched',
}
_ISO_MEDIA_BRANDS = {
    b'avif': 'an AVIF image',
    b'avis': 'an AVIF image',
    b'mif1': 'a HEIF image',
    b'msf1': 'a HEIF image',
    b'crx ': 'a raw photograph (CR3)',
    **dict.fromkeys([b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx'], 'a HEIC image'),
}
_TEXT_SAMPLE = 4096  # bytes that are decoded to recognise text


def detect_format(contents: bytes) -> ImageFormat:
    """Detects which supported format a file has.

    Raises:
        Rejected: the format is not supported; the detail names it if it is known.
    """
    for magic, image_format in _SUPPORTED.items():
        if contents.startswith(magic):
            if image_format == 'TIFF' and contents[8:10] == b'CR':
                raise Rejected('unsupported format', 'it is a raw photograph (CR2)')
            return image_format
    if contents[:4] == b'RIFF' and contents[8:12] == b'WEBP':
        return 'WebP'
    if contents[:2] == b'BM' and int.from_bytes(contents[14:18], 'little') in _BMP_HEADER_SIZES:
        return 'BMP'
    raise _unsupported(contents)


def _unsupported(contents: bytes) -> Rejected:
    if contents[4:8] == b'ftyp':
        if contents[8:12] in _ISO_MEDIA_BRANDS:
            return Rejected('unsupported format', f'it is {_ISO_MEDIA_BRANDS[contents[8:12]]}')
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
    return _text(contents[:_TEXT_SAMPLE]) or Rejected(
        'not an image', f'it begins with {contents[:8].hex(" ")}, as no known image does'
    )


def _text(sample: bytes) -> Rejected | None:
    """The exception for a text file; None if it is not text."""
    if sample[:2] in (b'\xff\xfe', b'\xfe\xff'):
        text = sample.decode('utf-16', errors='ignore')
    else:
        try:
            text = sample.decode()
        except UnicodeDecodeError as error:
            # The sample may end within a character.
            if error.start < len(sample) - 4 or len(sample) < _TEXT_SAMPLE:
                return None
            text = sample[: error.start].decode()
    text = text.removeprefix('\ufeff').lower()
    if any(letter < ' ' and letter not in '\t\n\r\f\x1b' for letter in text):
        return None
    if '<svg' in text:
        return Rejected('unsupported format', 'it is an SVG drawing')
    name = 'HTML' if '<html' in text or '<!doctype html' in text else 'text'
    return Rejected('not an image', f'it is {name}, such as an error message of a server')
