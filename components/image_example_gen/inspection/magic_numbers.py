"""Why Pillow does not identify a file as an image of a supported format."""

import contextlib
import importlib.util
import io
import re

import PIL.Image

from common.errors import Rejected
from common.extras import how_to_install

_HEIC_PACKAGE = 'pillow_heif'  # optional
_HEIC = rb'.{4}ftyp(he[iv]|mif1|msf1)'
_SUPPORTED = (
    rb'\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP|BM|II[*+]\0|MM\0[*+]|.{4}ftypavi[fs]|'
    + _HEIC
)
_RAW = rb'.{4}ftypcrx |II\*\0.{4}CR|FUJIFILMCCD-RAW|IIRO|IIU\0'


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
    with contextlib.suppress(Exception), PIL.Image.open(io.BytesIO(contents)) as image:
        return Rejected('unsupported format', f'it is an image in the format {image.format}')
    return Rejected('not an image', f'it begins with {contents[:24]!r}')
