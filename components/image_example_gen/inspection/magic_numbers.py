"""Names of files that Pillow does not identify, by their first bytes, for messages."""

import importlib.util
import re

from common.errors import Rejected
from common.extras import how_to_install

_HEIC_PACKAGE = 'pillow_heif'  # optional
_HEIC = rb'.{4}ftyp(he[iv]|mif1|msf1)'
_SUPPORTED = (
    rb'\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP|BM|II[*+]\0|MM\0[*+]|.{4}ftypavi[fs]|'
    + _HEIC
)
_RAW = rb'.{4}ftypcrx |II\*\0.{4}CR|FUJIFILMCCD-RAW|IIRO|IIU\0'
_IMAGES = {
    _RAW: 'a raw photograph',
    rb'8BPS': 'a Photoshop file',
    rb'\0\0\x01\0': 'an icon (ICO)',
    rb'\0\0\0\x0cjP  |\xff\x4f\xff\x51': 'a JPEG 2000 image',
    rb'\0\0\0\x0cJXL |\xff\x0a': 'a JPEG XL image',
    rb'P[1-7]\s': 'a Netpbm image',
    rb'\s*(<[?!].{,999})?<svg': 'an SVG drawing',
}
_OTHERS = {
    rb'.{4}ftyp|\x1aE\xdf\xa3|RIFF': 'a video or a recording',
    rb'%PDF': 'a PDF document',
    rb'PK\x03\x04|\x1f\x8b': 'a ZIP or gzip archive',
    rb'\0\x05\x16\x07|\0\0\0\x01Bud1': 'macOS metadata (._NAME or .DS_Store)',
    rb'version https://git-lfs': 'a Git LFS pointer, whose file was not fetched',
    rb'(?i)\s*<(!doctype )?html': 'HTML, such as an error message of a server',
    rb'([\t-\r\x20-\x7e]|[\xc3-\xf4][\x80-\xbf]+){8}': 'text, such as an error message of a server',
    rb'\0*$': 'only zeros',
}


def has_heic() -> bool:
    """Whether the optional package that decodes HEIC is installed."""
    return importlib.util.find_spec(_HEIC_PACKAGE) is not None


def is_raw_photograph(contents: bytes) -> bool:
    """Whether a file is a raw photograph, in which Pillow may find a thumbnail."""
    return re.match(_RAW, contents, re.DOTALL) is not None


def unidentified(contents: bytes) -> Rejected:
    """The error for a file that Pillow does not identify."""
    if name := _match(_IMAGES, contents):
        return Rejected('unsupported format', f'it is {name}')
    if _match({_HEIC: 'HEIC'}, contents) and not has_heic():
        advice = f'pillow-heif is not installed; {how_to_install("heic")}'
        return Rejected('unsupported format', f'it is a HEIC or HEIF image, and {advice}')
    if _match({_SUPPORTED: 'an image'}, contents):
        return Rejected('damaged', 'its header cannot be read')
    name = _match(_OTHERS, contents)
    start = contents[:8].hex(' ')
    return Rejected('not an image', f'it is {name}' if name else f'it begins with {start}')


def _match(names: dict[bytes, str], contents: bytes) -> str:
    found = (name for pattern, name in names.items() if re.match(pattern, contents, re.DOTALL))
    return next(found, '')
