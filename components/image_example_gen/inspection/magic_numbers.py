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
_NAMES = {
    rb'8BPS|\0\0\x01\0|\0\0\0\x0c(jP|JX)|\xff[\x4f\x0a]|P[1-7]\s|\s*(<[?!].{,999})?<svg': (
        'an image in another format, such as Photoshop, ICO, JPEG 2000, JPEG XL, Netpbm or SVG'
    ),
    rb'(?i)\s*<(!doctype )?html|([\t-\r\x20-\x7e]|[\xc3-\xf4][\x80-\xbf]+){8}': (
        'text, such as HTML, an error message of a server, or a Git LFS pointer'
    ),
    rb'.{4}ftyp|\x1aE\xdf\xa3|RIFF|%PDF|PK\x03\x04|\x1f\x8b': 'a video, a document or an archive',
}


def has_heic() -> bool:
    """Whether the optional package that decodes HEIC is installed."""
    return importlib.util.find_spec(_HEIC_PACKAGE) is not None


def is_raw_photograph(contents: bytes) -> bool:
    """Whether a file is a raw photograph, in which Pillow may find a thumbnail."""
    return re.match(_RAW, contents, re.DOTALL) is not None


def unidentified(contents: bytes) -> Rejected:
    """The error for a file that Pillow does not identify."""
    if is_raw_photograph(contents):
        return Rejected('unsupported format', 'it is a raw photograph')
    if re.match(_HEIC, contents, re.DOTALL) and not has_heic():
        advice = f'pillow-heif is not installed; {how_to_install("heic")}'
        return Rejected('unsupported format', f'it is a HEIC or HEIF image, and {advice}')
    if re.match(_SUPPORTED, contents, re.DOTALL):
        return Rejected('damaged', 'its header cannot be read')
    names = (name for pattern, name in _NAMES.items() if re.match(pattern, contents, re.DOTALL))
    name = next(names, f'unknown data; it begins with {contents[:8].hex(" ")}')
    is_image = name.startswith('an image')
    return Rejected('unsupported format' if is_image else 'not an image', f'it is {name}')
