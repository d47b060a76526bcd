"""Broken and odd image files, each with what must become of it."""

import image_bytes as made
import numpy as np
from odd_formats import others
from odd_jpegs import jpegs
from odd_outcomes import Accepted, Either, OddImage, Refused
from odd_pngs import pngs

from common.errors import RejectionReason

__all__ = ['ODD', 'Accepted', 'Either', 'OddImage', 'Refused', 'bad_files']

_HTML = b'<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n'
_SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90"/>'
_HEIC = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic' + bytes(400)


def _strangers() -> dict[str, OddImage]:
    """Files that hold no image, or none of a format that is taken."""
    nothing: RejectionReason = 'not an image'
    other: RejectionReason = 'unsupported format'
    return {
        name: OddImage(contents, Refused(reason, words))
        for name, contents, reason, words in (
            ('empty', b'', 'empty', 'no bytes'),
            ('one byte', b'\xff', nothing, 'begins with ff'),
            ('two bytes of a JPEG', b'\xff\xd8', nothing, 'begins with ff d8'),
            ('four bytes of a PNG', b'\x89PNG', nothing, 'begins with 89'),
            ('zeros', bytes(5000), nothing, '5,000 bytes are zero'),
            ('random bytes', np.random.default_rng(0).bytes(5000), nothing, 'no known image'),
            ('HTML', _HTML, nothing, 'HTML'),
            ('text', 'Größe unbekannt\n'.encode() * 500, nothing, 'it is text'),
            ('text of UTF-16', 'not an image'.encode('utf-16'), nothing, 'it is text'),
            ('PDF', b'%PDF-1.7\n%\xe2\xe3\xcf\xd3\n', nothing, 'PDF'),
            ('ZIP', b'PK\3\4' + bytes(90), nothing, 'ZIP'),
            ('MP4', b'\0\0\0\x18ftypisom' + bytes(90), nothing, 'video'),
            ('AVI', b'RIFF\x90\0\0\0AVI ' + bytes(90), nothing, 'AVI'),
            ('a file of macOS', b'\0\5\x16\7\0\2\0\0Mac OS X', nothing, 'macOS'),
            (
                'a pointer of Git LFS',
                b'version https://git-lfs.example/spec/v1\n',
                nothing,
                'Git LFS',
            ),
            ('HEIC', _HEIC, other, 'HEIC'),
            ('AVIF', made.encoded(made.quarters(), 'AVIF'), other, 'AVIF'),
            ('SVG', _SVG, other, 'SVG'),
            ('ICO', made.encoded(made.quarters(), 'ICO', sizes=[(32, 32)]), other, 'ICO'),
            ('JPEG 2000', made.encoded(made.quarters(), 'JPEG2000'), other, 'JPEG 2000'),
            ('JPEG XL', b'\0\0\0\x0cJXL \r\n\x87\n' + bytes(90), other, 'JPEG XL'),
            ('Photoshop', b'8BPS\0\1' + bytes(90), other, 'Photoshop'),
            ('PPM', made.encoded(made.quarters(), 'PPM'), other, 'Netpbm'),
            ('BigTIFF', made.encoded(made.quarters(), 'TIFF', big_tiff=True), other, 'BigTIFF'),
        )
    }


ODD: dict[str, OddImage] = {**jpegs(), **pngs(), **others(), **_strangers()}


def bad_files(animated: bool = False) -> dict[str, tuple[bytes, RejectionReason]]:
    """A file of each kind of badness, by a name that it may have in a folder of images.

    Args:
        animated: with one that is bad only if animated images are refused.
    """
    names = {
        'empty.jpg': 'empty',
        'error_page.jpg': 'HTML',
        'photo.jpg': 'HEIC',
        'download.jpg': 'JPEG, cut at 50 %',
        'flipped.png': 'PNG, checksum wrong',
        'icon.png': 'PNG, too small',
        'bomb.png': 'PNG, bomb',
    }
    if animated:
        names['moving.png'] = 'PNG, animated, refused'
    files: dict[str, tuple[bytes, RejectionReason]] = {}
    for filename, name in names.items():
        odd = ODD[name]
        assert isinstance(odd.outcome, Refused)
        files[filename] = odd.contents, odd.outcome.reason
    return files
