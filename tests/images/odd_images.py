"""Damaged and unusual image files, each with its expected outcome."""

import zlib
from typing import NamedTuple

import image_bytes as made
import numpy as np
import PIL.Image

from common.errors import RejectionReason

REDS = tuple((red, red, red) for red, _, _ in made.QUARTERS)
LUMA = tuple((luma,) * 3 for luma in (87, 119, 58, 203))  # of the quarters
GREEN_IS_WHITE = (made.RED, (255, 255, 255), *made.QUARTERS[2:])
ON_WHITE = (*GREEN_IS_WHITE[:3], (242, 238, 148))  # of `made.with_alpha`
GARBAGE_EXIF = b'Exif\0\0II*\0\xff\xff\xff\x7f'


class Accepted(NamedTuple):
    """Accepted, with the format, colours and size of the stored image."""

    format: str = 'png'
    colours: tuple[tuple[int, ...], ...] | None = made.QUARTERS
    size: tuple[int, int] = made.SIZE
    kept: bool = False  # the same bytes


class OddImage(NamedTuple):
    contents: bytes
    outcome: Accepted | RejectionReason


PNG, JPEG = Accepted(), Accepted('jpeg')
KEPT, KEPT_JPEG = Accepted(kept=True), Accepted('jpeg', kept=True)


def _cuts(contents, reason: RejectionReason = 'truncated'):
    """A file cut at a third and at nine tenths of its length."""
    length = len(contents)
    return {f'cut at {n} %': (contents[: length * n // 100], reason) for n in (33, 50, 90)}


def _jpegs():
    image, plain, detailed = made.quarters(), made.jpeg(), made.jpeg(made.noise())
    half, scan = len(detailed) // 2, plain.index(b'\xff\xda')
    cmyk = made.jpeg(image.convert('CMYK'))
    mpo = {'quality': 95, 'subsampling': 0, 'save_all': True, 'append_images': [made.noise()]}
    malformed_mpf = made.with_app1(cmyk, b'MPF\0II*\0').replace(b'\xff\xe1', b'\xff\xe2', 1)
    cmyk_detailed = made.jpeg(made.noise().convert('CMYK'))
    progressive = made.jpeg(made.noise(), progressive=True)
    return {
        'plain': (plain, KEPT_JPEG),
        'gray': (made.jpeg(image.convert('L')), KEPT_JPEG._replace(colours=LUMA)),
        'progressive': (made.jpeg(progressive=True), KEPT_JPEG),
        '100 scans': (made.with_scans(100), KEPT_JPEG._replace(size=(16, 16), colours=None)),
        'restart markers': (made.jpeg(restart_marker_blocks=2), KEPT_JPEG),
        'bytes after its end': (plain + b'trailing' * 100, KEPT_JPEG),
        'a thumbnail in it': (made.with_app1(plain, b'Exif\0\0' + plain), KEPT_JPEG),
        'garbage EXIF': (made.with_app1(plain, GARBAGE_EXIF), KEPT_JPEG),
        'EXIF orientation 9': (made.turned(9), KEPT_JPEG),
        'MPO': (made.encoded(image, 'MPO', **mpo), KEPT_JPEG),
        'CMYK': (cmyk, JPEG),
        'CMYK and garbage EXIF': (made.with_app1(cmyk, GARBAGE_EXIF), JPEG),
        'CMYK and malformed MPF': (malformed_mpf, JPEG),
        'YCCK': (made.ycck(), JPEG),
        **{f'EXIF orientation {each}': (made.turned(each), JPEG) for each in range(2, 9)},
        'CMYK, cut': (cmyk[:-300], 'truncated'),
        'CMYK, cut, with an end': (cmyk_detailed[:-900] + b'\xff\xd9', 'truncated'),
        'its end missing': (plain[:-2], 'truncated'),
        'zeros instead of its second half': (detailed[:half].ljust(2 * half, b'\0'), 'truncated'),
        'cut, with an end': (detailed[:half] + b'\xff\xd9', 'truncated'),
        'progressive, cut, with an end': (progressive[:-3000] + b'\xff\xd9', 'truncated'),
        'no header': (plain[:2] + plain[scan:], 'damaged'),
        'no rows': (made.jpeg_of_size(48, 0), 'damaged'),
        'bomb': (made.jpeg_of_size(60_000, 60_000), 'too large'),
        'lossless': (plain.replace(b'\xff\xc0', b'\xff\xc3'), 'damaged'),
        **_cuts(detailed),
    }


def _pngs():
    image, detailed = made.quarters(), made.encoded(made.noise(), 'PNG')
    plain, palette = made.encoded(image, 'PNG'), made.encoded(image.quantize(4), 'PNG')
    green = image.quantize(4).getpixel((made.WIDTH - 1, 0))
    text = made.chunk(b'zTXt', b'Comment\0\0' + zlib.compress(bytes(50_000_000)))
    deep, rows = made.png_16_bits(3, 2), made.png(48, 32, 8, 2, bytes(144 * 32))
    clear = made.chunk(b'tRNS', b''.join(bytes([value, value]) for value in made.GREEN))
    invisible = made.quarters()
    invisible.putalpha(0)
    of_palette = made.encoded(image.quantize(4), 'PNG', transparency=green)
    of_colour = made.encoded(image, 'PNG', transparency=made.GREEN)
    fewer_rows = rows.replace(rows[8:33], made.png_of_size(48, 64)[8:33])
    smallest = made.encoded(made.quarters((16, 16)), 'PNG')
    return {
        'plain': (plain, KEPT),
        'gray': (made.encoded(image.convert('L'), 'PNG'), KEPT._replace(colours=LUMA)),
        'smallest': (smallest, KEPT._replace(size=(16, 16))),
        'bytes after its end': (plain + b'trailing' * 100, KEPT),
        'animated': (made.animated('PNG'), KEPT),
        'palette': (palette, PNG),
        'palette and a text of 50 megabytes': (palette[:33] + text + palette[33:], PNG),
        'palette with transparency': (of_palette, Accepted(colours=GREEN_IS_WHITE)),
        'RGBA': (made.encoded(made.with_alpha(), 'PNG'), Accepted(colours=ON_WHITE)),
        'transparent everywhere': (made.encoded(invisible, 'PNG'), 'damaged'),
        'gray with alpha': (made.encoded(image.convert('LA'), 'PNG'), Accepted(colours=LUMA)),
        'a transparent colour': (of_colour, Accepted(colours=GREEN_IS_WHITE)),
        '16 bit gray': (made.png_16_bits(1, 0), Accepted(colours=REDS)),
        '16 bit RGB': (deep, PNG),
        '16 bit and a transparent colour': (
            deep[:33] + clear + deep[33:],
            Accepted(colours=GREEN_IS_WHITE),
        ),
        '1 bit': (made.encoded(image.convert('1'), 'PNG'), Accepted(colours=None)),
        'EXIF orientation 6': (made.turned(6, 'PNG'), PNG),
        'last chunk missing': (plain[:-12], 'truncated'),
        'palette, last chunk missing': (palette[:-12], 'truncated'),
        'checksum wrong': (made.flipped(detailed, detailed.index(b'IDAT') + 400), 'damaged'),
        'no pixels': (plain[:33] + made.chunk(b'IEND', b''), 'damaged'),
        'fewer rows than it says': (fewer_rows, 'damaged'),
        'bomb': (made.png_of_size(60_000, 60_000), 'too large'),
        'too long': (made.png_of_size(65_600, 16), 'too large'),
        'too small': (made.encoded(made.quarters((15, 400)), 'PNG'), 'too small'),
        **_cuts(detailed),
    }


def _gifs():
    plain, frames = made.encoded(made.quarters(), 'GIF'), made.animated('GIF')
    start = 13 + (3 << ((plain[10] & 7) + 1))
    many = plain[:start] + plain[start:-1] * 10_000 + b';'
    return {
        'animated': (frames, PNG),
        '10,000 frames': (many, PNG),
        'cut in the last frame': (frames[:-5], PNG),
        'a long comment': (made.gif_with_comment(2_000), PNG),
        'bomb': (made.gif_of_size(65_535, 65_535), 'too large'),
        **_cuts(made.encoded(made.noise(), 'GIF')),
    }


def _webps():
    image, frames = made.quarters(), made.animated('WEBP')
    alpha = made.encoded(made.with_alpha(), 'WEBP', lossless=True)
    return {
        'lossless': (made.encoded(image, 'WEBP', lossless=True), PNG),
        'lossy': (made.encoded(image, 'WEBP', quality=95), JPEG),
        'RGBA': (alpha, Accepted(colours=ON_WHITE)),
        'animated': (frames, PNG),
        'EXIF orientation 8': (made.turned(8, 'WEBP'), PNG),
        'bomb': (made.webp_of_size(60_000, 60_000), 'damaged'),
        **_cuts(made.encoded(made.noise(), 'WEBP'), 'damaged'),
    }


def _bmps():
    plain = made.encoded(made.quarters(), 'BMP')
    return {
        'plain': (plain, PNG),
        'an alpha channel of zeros': (made.bmp_with_alpha(0), PNG),
        'bomb': (made.bmp_of_size(60_000, -60_000), 'too large'),
        'cut': (plain[: len(plain) // 2], 'truncated'),
    }


def _tiffs():
    image, tiff_with = made.quarters(), made.tiff_with
    gray_16 = PIL.Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    negative = tuple((255 - red,) * 3 for red, _, _ in REDS)
    plain, lzw = (made.encoded(image, 'TIFF', compression=each) for each in (None, 'tiff_lzw'))
    pages = made.encoded(image, 'TIFF', save_all=True, append_images=[made.noise()])
    overlap = tiff_with({40_000 + each: (7, 8_000, 0) for each in range(300)})
    return {
        'plain': (plain, PNG),
        'LZW': (lzw, PNG),
        'CMYK': (made.encoded(image.convert('CMYK'), 'TIFF'), PNG),
        '16 bit': (made.encoded(gray_16, 'TIFF'), Accepted(colours=REDS)),
        '16 bit, white is 0': (tiff_with({262: (3, 1, 0)}, gray_16), Accepted(colours=negative)),
        'orientation 6': (made.turned(6, 'TIFF'), PNG),
        'two pages': (pages, PNG),
        'values that overlap': (overlap, PNG),
        'floating point': (made.encoded(image.convert('F'), 'TIFF'), 'unsupported format'),
        'raw photograph': (tiff_with({50706: (1, 4, 0x0401)}), 'unsupported format'),
        'bomb': (tiff_with({256: (4, 1, 60_000), 257: (4, 1, 60_000)}), 'too large'),
        'an absurd compression': (tiff_with({259: (3, 1, 60_000)}), 'damaged'),
        'a tag of 4 GB': (tiff_with({258: (3, 2**31, 0)}), 'damaged'),
        'pixels behind its end': (tiff_with({273: (4, 1, 2**31)}), 'truncated'),
        'cut': (plain[: len(plain) // 2], 'truncated'),
        'LZW, cut': (lzw[: len(lzw) // 2], 'damaged'),
    }


def _heifs(make, cut: RejectionReason):
    """AVIF or HEIC, of `make(image, **options)`."""
    plain = make()
    frames = [made.quarters(colours=made.QUARTERS[n:] + made.QUARTERS[:n]) for n in range(3)]
    several = make(frames[0], save_all=True, append_images=frames[1:])
    exif = PIL.Image.Exif()
    exif[made.ORIENTATION] = 6
    turned = make(made.quarters().transpose(PIL.Image.Transpose.ROTATE_90), exif=exif.tobytes())
    return {
        'plain': (plain, JPEG),
        'RGBA': (make(made.with_alpha()), JPEG._replace(colours=ON_WHITE)),
        'gray': (make(made.quarters().convert('L')), JPEG._replace(colours=LUMA)),
        'another main brand': (plain[:8] + b'mif1' + plain[12:], JPEG),
        'EXIF orientation 6': (turned, JPEG),
        'several images': (several, JPEG),
        'too small': (make(made.quarters((15, 40))), 'too small'),
        'header only': (plain[:40], 'damaged'),
        **_cuts(make(made.noise((320, 240))), cut),
    }


def _others():
    image = made.quarters()
    unsupported = {
        'ICO': made.encoded(image, 'ICO', sizes=[(32, 32)]),
        'JPEG 2000': made.encoded(image, 'JPEG2000'),
        'Netpbm': made.encoded(image, 'PPM'),
        'raw photograph': b'II*\0\x10\0\0\0CR\2\0' + bytes(90),
    }
    no_images = {
        'it begins with': np.random.default_rng(0).bytes(5000),
        'only zeros': bytes(5000),
        'begins with ff d8': b'\xff\xd8',
        'HTML': b'<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n',
        'PDF': b'%PDF-1.7\n%\xe2\xe3\xcf\xd3\n',
        'a video': b'\0\0\0\x18ftypisom' + bytes(90),
    }
    return {
        'empty': (b'', 'empty'),
        **{name: (contents, 'unsupported format') for name, contents in unsupported.items()},
        **{name: (contents, 'not an image') for name, contents in no_images.items()},
    }


ODD: dict[str, OddImage] = {
    f'{kind}, {name}': OddImage(*odd)
    for kind, files in {
        'JPEG': _jpegs(),
        'PNG': _pngs(),
        'GIF': _gifs(),
        'WebP': _webps(),
        'BMP': _bmps(),
        'TIFF': _tiffs(),
        'AVIF': _heifs(made.avif, 'damaged'),
        'HEIC': _heifs(made.heif, 'truncated'),
        'other': _others(),
    }.items()
    for name, odd in files.items()
}


def bad_files():
    """A bad file for each reason, by file name."""
    names = {
        'empty.jpg': 'other, empty',
        'error_page.jpg': 'other, HTML',
        'photo.jpg': 'other, JPEG 2000',
        'download.jpg': 'JPEG, cut at 50 %',
        'flipped.png': 'PNG, checksum wrong',
        'icon.png': 'PNG, too small',
        'bomb.png': 'PNG, bomb',
    }
    return {filename: (ODD[name].contents, ODD[name].outcome) for filename, name in names.items()}
