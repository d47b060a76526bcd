"""Damaged and unusual files of the formats that are converted."""

import image_bytes as made
import numpy as np
import PIL.Image
from odd_outcomes import BLACK_WHITE, ON_WHITE, REDS, Accepted, OddImage, Refused

_TOO_LARGE = Refused('too large', 'megapixels')


def others() -> dict[str, OddImage]:
    formats = {'GIF': _gif(), 'WebP': _webp(), 'BMP': _bmp(), 'TIFF': _tiff()}
    return {
        f'{kind}, {name}': OddImage(*odd)
        for kind, files in formats.items()
        for name, odd in files.items()
    }


def _cuts(contents: bytes) -> dict[str, tuple]:
    return {
        f'cut at {tenth}0 %': (cut, Refused('truncated', f'{len(cut):,}'))
        for tenth, cut in made.cuts(contents).items()
    }


def _gif() -> dict[str, tuple]:
    plain, frames = made.encoded(made.quarters(), 'GIF'), made.animated('GIF')
    detailed = made.encoded(made.noise(), 'GIF')
    converted = Accepted('GIF to PNG', 'png')
    first = Accepted('GIF to PNG, first of 3 frames', 'png')
    return {
        'plain': (plain, converted),
        'one frame': (plain, converted, 'refuse'),
        'animated': (frames, first),
        'animated, refused': (frames, Refused('animated', '3 frames'), 'refuse'),
        'bytes after its end': (frames + b'trailing', first),
        'bomb': (made.gif_of_size(65_535, 65_535), _TOO_LARGE),
        'cut in the last frame': (frames[:-5], Refused('truncated', 'ends')),
        'header only': (detailed[:13], Refused('truncated', '13 bytes')),
        'nothing in it': (detailed[:10] + b'\0\0\0;', Refused('damaged', 'no picture')),
        'garbage in it': (detailed[:-1] + b'\x99' * 20, Refused('damaged', 'block')),
        **_cuts(detailed),
    }


def _webp() -> dict[str, tuple]:
    image, frames = made.quarters(), made.animated('WEBP')
    lossless, alpha = (
        made.encoded(each, 'WEBP', lossless=True) for each in (image, made.with_alpha())
    )
    detailed = made.encoded(made.noise(), 'WEBP')
    return {
        'lossless': (lossless, Accepted('WebP to PNG', 'png')),
        'lossy': (made.encoded(image, 'WEBP', quality=95), Accepted('WebP to JPEG')),
        'RGBA': (alpha, Accepted('WebP to PNG', 'png', colours=ON_WHITE)),
        'animated': (frames, Accepted('WebP to PNG, first of 3 frames', 'png')),
        'animated, refused': (frames, Refused('animated', '3 frames'), 'refuse'),
        'EXIF orientation 8': (
            made.turned(8, 'WEBP'),
            Accepted('WebP to PNG, turned as EXIF says', 'png'),
        ),
        'bomb': (made.webp_of_size(60_000, 60_000), _TOO_LARGE),
        'header only': (detailed[:12], Refused('truncated', '12 bytes')),
        **_cuts(detailed),
    }


def _bmp() -> dict[str, tuple]:
    plain, one_bit = (made.encoded(each, 'BMP') for each in (made.quarters(), made.two_colours()))
    return {
        'plain': (plain, Accepted('BMP to PNG', 'png')),
        '1 bit': (one_bit, Accepted('BMP to PNG', 'png', colours=BLACK_WHITE)),
        'bomb': (made.bmp_of_size(60_000, -60_000), _TOO_LARGE),
        'cut': (plain[: len(plain) // 2], Refused('truncated', 'ends')),
    }


def _tiff() -> dict[str, tuple]:
    image, converted = made.quarters(), Accepted('TIFF to PNG', 'png')
    gray_16 = PIL.Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    negative = tuple((255 - red,) * 3 for red, _, _ in REDS)
    plain, lzw = (made.encoded(image, 'TIFF', compression=each) for each in (None, 'tiff_lzw'))
    return {
        'plain': (plain, converted),
        'LZW': (lzw, converted),
        'CMYK': (made.encoded(image.convert('CMYK'), 'TIFF'), converted),
        '16 bit': (made.encoded(gray_16, 'TIFF'), Accepted('TIFF to PNG', 'png', colours=REDS)),
        '16 bit, white is 0': (
            made.tiff_with({262: (3, 1, 0)}, gray_16),
            Accepted('TIFF to PNG', 'png', colours=negative),
        ),
        'orientation 6': (made.turned(6, 'TIFF'), converted),
        'two widths': (made.tiff_with({256: (3, 2, 48)}), converted),
        'floating point': (
            made.encoded(image.convert('F'), 'TIFF'),
            Refused('unsupported format', 'floating'),
        ),
        'raw photograph': (
            made.tiff_with({50706: (1, 4, 0x0401)}),
            Refused('unsupported format', 'DNG'),
        ),
        'bomb': (made.tiff_with({256: (4, 1, 60_000), 257: (4, 1, 60_000)}), _TOO_LARGE),
        'a tile much larger than the picture': (
            made.tiff_with({322: (4, 1, 40_000), 323: (4, 1, 20_000)}),
            Refused('damaged', 'tiles'),
        ),
        'an absurd compression': (
            made.tiff_with({259: (3, 1, 60_000)}),
            Refused('damaged', 'header'),
        ),
        'a tag of 4 gigabytes': (
            made.tiff_with({258: (3, 2**31, 0)}),
            Refused('truncated', 'tag 258'),
        ),
        'pixels behind its end': (
            made.tiff_with({273: (4, 1, 2**31)}),
            Refused('truncated', 'ends'),
        ),
        'cut': (plain[: len(plain) // 2], Refused('truncated', 'ends')),
        'LZW, cut': (lzw[: len(lzw) // 2], Refused('truncated', 'directory')),
    }
