"""Names of files that are not decoded, by their first bytes, for messages."""

import codecs
import importlib.util
import re

from common.errors import Rejected
from common.extras import how_to_install

_SUPPORTED = (
    rb'\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP|BM|II[*+]\0|MM\0[*+]|'
    rb'.{4}ftyp(avi[fs]|he[iv]|mif1|msf1)'
)
_HEIC = rb'.{4}ftyp(he[iv]|mif1|msf1)'
_RAW = rb'.{4}ftypcrx |II\*\0.{4}CR|FUJIFILMCCD-RAW|IIRO|IIU\0'
_OTHER_IMAGES = {
    _RAW: 'a raw photograph',
    rb'8BPS': 'a Photoshop file',
    rb'\0\0\x01\0': 'an icon (ICO)',
    rb'\0\0\0\x0cjP  |\xff\x4f\xff\x51': 'a JPEG 2000 image',
    rb'\0\0\0\x0cJXL |\xff\x0a': 'a JPEG XL image',
    rb'P[1-7]\s': 'a Netpbm image',
}
_OTHER_FILES = {
    rb'.{4}ftyp|\x1aE\xdf\xa3': 'a video',
    rb'RIFF': 'an AVI video or a WAV recording',
    rb'%PDF': 'a PDF document',
    rb'PK\x03\x04|\x1f\x8b': 'a ZIP or gzip archive',
    rb'\xd0\xcf\x11\xe0': 'a Microsoft Office document or Thumbs.db',
    rb'\0\x05\x16\x07|\0\0\0\x01Bud1': 'macOS metadata (._NAME or .DS_Store)',
    rb'version https://git-lfs': 'a Git LFS pointer, whose file was not fetched',
}
_HEIC_PACKAGE = 'pillow_heif'  # optional
_TEXT_SAMPLE = 4096  # bytes that are decoded to recognise text


def has_heic() -> bool:
    """Whether the optional package that decodes HEIC is installed."""
    return importlib.util.find_spec(_HEIC_PACKAGE) is not None


def is_raw_photograph(contents: bytes) -> bool:
    """Whether a file is a raw photograph, in which Pillow may find a thumbnail."""
    return re.match(_RAW, contents, re.DOTALL) is not None


def unidentified(contents: bytes) -> Rejected:
    """The error for a file that Pillow does not identify."""
    text = _decode_text(contents[:_TEXT_SAMPLE])
    if name := 'an SVG drawing' if '<svg' in text else _match(_OTHER_IMAGES, contents):
        return Rejected('unsupported format', f'it is {name}')
    if re.match(_HEIC, contents, re.DOTALL) and not has_heic():
        advice = f'pillow-heif is not installed; {how_to_install("heic")}'
        return Rejected('unsupported format', f'it is a HEIC or HEIF image, and {advice}')
    if re.match(_SUPPORTED, contents, re.DOTALL):
        return Rejected('damaged', 'its header cannot be read')
    if name := _match(_OTHER_FILES, contents):
        detail = f'it is {name}'
    elif text:
        name = 'HTML' if '<html' in text or '<!doctype html' in text else 'text'
        detail = f'it is {name}, such as an error message of a server'
    elif not contents.strip(b'\0'):
        detail = f'all of its {len(contents):,} bytes are zero'
    else:
        detail = f'it begins with {contents[:8].hex(" ")}, as no known image does'
    return Rejected('not an image', detail)


def _match(names: dict[bytes, str], contents: bytes) -> str:
    found = (name for pattern, name in names.items() if re.match(pattern, contents, re.DOTALL))
    return next(found, '')


def _decode_text(sample: bytes) -> str:
    """The beginning of a text file in lower case; empty if it is not text."""
    encoding = 'utf-16' if sample[:2] in (b'\xff\xfe', b'\xfe\xff') else 'utf-8'
    try:
        # Incremental, as the sample may end within a character.
        text = codecs.getincrementaldecoder(encoding)().decode(sample).lower()
    except UnicodeDecodeError:
        return ''
    return '' if re.search(r'[^\x20-\U0010ffff\t\n\r\f\x1b]', text) else text
