"""Detects the format of a file by its first bytes; file names are ignored."""

import codecs
import importlib.util
import re
from typing import Literal, TypeVar

from common.errors import Rejected
from common.extras import how_to_install

ImageFormat = Literal['JPEG', 'PNG', 'GIF', 'WebP', 'BMP', 'TIFF', 'AVIF', 'HEIC']

_Name = TypeVar('_Name', bound=str)

# Names by the pattern of the first bytes.
_SUPPORTED: dict[bytes, ImageFormat] = {
    rb'\xff\xd8\xff': 'JPEG',
    rb'\x89PNG\r\n\x1a\n': 'PNG',
    rb'GIF8[79]a': 'GIF',
    rb'RIFF.{4}WEBP': 'WebP',
    rb'II\*\x00(?!.{4}CR)|MM\x00\*': 'TIFF',
    rb'.{4}ftyp(avi[fs]|mif1.{4}(.{4}){,15}avif)': 'AVIF',  # the main brand, or one of the others
    rb'.{4}ftyp(he[iv]|mif1|msf1)': 'HEIC',
    rb'BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00{3}': 'BMP',  # lengths of its second header
}
_OTHER_IMAGES = {
    rb'.{4}ftypcrx |II\*\x00.{4}CR|FUJIFILMCCD-RAW|IIRO|IIU\x00': 'a raw photograph',
    rb'8BPS': 'a Photoshop file',
    rb'\x00\x00\x01\x00': 'an icon (ICO)',
    rb'\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51': 'a JPEG 2000 image',
    rb'\x00\x00\x00\x0cJXL |\xff\x0a': 'a JPEG XL image',
    rb'II\+\x00|MM\x00\+': 'a BigTIFF image',
    rb'P[1-7]\s': 'a Netpbm image',
}
_OTHER_FILES = {
    rb'.{4}ftyp|\x1aE\xdf\xa3': 'a video',
    rb'RIFF': 'an AVI video or a WAV recording',
    rb'%PDF': 'a PDF document',
    rb'PK\x03\x04|\x1f\x8b': 'a ZIP or gzip archive',
    rb'\xd0\xcf\x11\xe0': 'a Microsoft Office document or Thumbs.db',
    rb'\x00\x05\x16\x07|\x00\x00\x00\x01Bud1': 'macOS metadata (._NAME or .DS_Store)',
    rb'version https://git-lfs': 'a Git LFS pointer, whose file was not fetched',
}
_HEIC_PACKAGE = 'pillow_heif'  # optional
_TEXT_SAMPLE = 4096  # bytes that are decoded to recognise text


def detect_format(contents: bytes) -> ImageFormat:
    """Detects which supported format a file has; raises Rejected if it has none."""
    if image_format := _match(_SUPPORTED, contents):
        if image_format == 'HEIC' and not has_heic():
            advice = f'pillow-heif is not installed; {how_to_install("heic")}'
            raise Rejected('unsupported format', f'it is a HEIC or HEIF image, and {advice}')
        return image_format
    text = _decode_text(contents[:_TEXT_SAMPLE])
    if name := 'an SVG drawing' if '<svg' in text else _match(_OTHER_IMAGES, contents):
        raise Rejected('unsupported format', f'it is {name}')
    if name := _match(_OTHER_FILES, contents):
        detail = f'it is {name}'
    elif text:
        name = 'HTML' if '<html' in text or '<!doctype html' in text else 'text'
        detail = f'it is {name}, such as an error message of a server'
    elif not contents.strip(b'\0'):
        detail = f'all of its {len(contents):,} bytes are zero'
    else:
        detail = f'it begins with {contents[:8].hex(" ")}, as no known image does'
    raise Rejected('not an image', detail)


def has_heic() -> bool:
    """Whether the optional package that decodes HEIC is installed."""
    return importlib.util.find_spec(_HEIC_PACKAGE) is not None


def _match(names: dict[bytes, _Name], contents: bytes) -> _Name | None:
    found = (name for pattern, name in names.items() if re.match(pattern, contents, re.DOTALL))
    return next(found, None)


def _decode_text(sample: bytes) -> str:
    """The beginning of a text file in lower case; empty if it is not text."""
    encoding = 'utf-16' if sample[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8'
    try:
        # Incremental, as the sample may end within a character.
        text = codecs.getincrementaldecoder(encoding)().decode(sample).lower()
    except UnicodeDecodeError:
        return ''
    return '' if re.search(r'[^\x20-\U0010ffff\t\n\r\f\x1b]', text) else text
