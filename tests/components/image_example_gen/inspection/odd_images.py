"""Damaged and unusual image files, each with its expected outcome."""

import zlib
from typing import Literal, NamedTuple

import image_bytes as made
import numpy as np
import PIL.Image

from common.errors import RejectionReason

REDS = tuple((red, red, red) for red, _, _ in made.QUARTERS)
LUMA = tuple((luma,) * 3 for luma in (87, 119, 58, 203))  # of the quarters
BLACK_WHITE = ((0,) * 3, (255,) * 3) * 2  # of `made.two_colours`
WHITE = (255, 255, 255)
ON_WHITE = (made.RED, WHITE, made.BLUE, (242, 238, 148))  # of `made.with_alpha`
GARBAGE_EXIF = b'Exif\0\0II*\0\xff\xff\xff\x7f'


class Accepted(NamedTuple):
    """Accepted, with the format, size and colours of the stored image."""

    format: str = 'png'
    colours: tuple[tuple[int, ...], ...] | None = made.QUARTERS
    size: tuple[int, int] = made.SIZE
    kept: bool = False  # the same bytes


class Refused(NamedTuple):
    """Refused for this reason, with these words in the detail."""

    reason: RejectionReason
    words: str


class OddImage(NamedTuple):
    contents: bytes
    outcome: Accepted | Refused
    animated: Literal['first_frame', 'refuse'] = 'first_frame'


def _cuts(contents):
    return {
        f'cut at {tenth}0 %': (cut, Refused('truncated', f'{len(cut):,} bytes'))
        for tenth, cut in made.cuts(contents).items()
    }


def _patched(contents, position, value):
    return contents[:position] + bytes([value]) + contents[position + 1 :]


def _good_jpegs():
    image, kept, converted = made.quarters(), Accepted('jpeg', kept=True), Accepted('jpeg')
    plain, cmyk = made.jpeg(), made.jpeg(image.convert('CMYK'))
    options = {'quality': 95, 'subsampling': 0, 'save_all': True, 'append_images': [made.noise()]}
    malformed_mpf = made.with_app1(cmyk, b'MPF\0II*\0').replace(b'\xff\xe1', b'\xff\xe2', 1)
    return {
        'plain': (plain, kept),
        'gray': (made.jpeg(image.convert('L')), kept._replace(colours=LUMA)),
        'with detail': (made.jpeg(made.noise()), kept._replace(size=(96, 64), colours=None)),
        'progressive': (made.jpeg(progressive=True), kept),
        '100 scans': (made.with_scans(100), kept._replace(size=(16, 16), colours=None)),
        'restart markers': (made.jpeg(restart_marker_blocks=2), kept),
        'fill bytes': (plain.replace(b'\xff\xdb', b'\xff\xff\xdb'), kept),
        'bytes after its end': (plain + b'trailing' * 100, kept),
        'a thumbnail in it': (made.with_app1(plain, b'Exif\0\0' + plain), kept),
        'garbage EXIF': (made.with_app1(plain, GARBAGE_EXIF), kept),
        'EXIF orientation 9': (made.turned(9), kept),
        'MPO': (made.encoded(image, 'MPO', **options), kept),
        'CMYK': (cmyk, converted),
        'CMYK and garbage EXIF': (made.with_app1(cmyk, GARBAGE_EXIF), converted),
        'CMYK and malformed MPF': (malformed_mpf, converted),
        'YCCK': (made.ycck(), converted),
        **{
            f'EXIF orientation {orientation}': (made.turned(orientation), converted)
            for orientation in range(2, 9)
        },
    }


def _bad_jpegs():
    plain, detailed = made.jpeg(), made.jpeg(made.noise())
    frame, scan = made.frame_header(plain), plain.index(b'\xff\xda')
    cmyk = made.jpeg(made.quarters().convert('CMYK'))
    zeros = detailed[: len(detailed) // 2].ljust(len(detailed), b'\0')
    other = 'unsupported format'
    hidden = made.jpeg_of_size(24, 16)[frame : frame + 19]  # decoders skip it, as APP15
    two_sizes = plain[:2] + b'\xff\0\0\4\xff\xef\0\x15' + hidden + plain[2:]
    return {
        'CMYK cut': (cmyk[:-300], Refused('truncated', f'after {len(cmyk) - 300:,} bytes')),
        'its end missing': (plain[:-2], Refused('truncated', 'in the middle')),
        'zeros instead of its second half': (zeros, Refused('truncated', 'ends')),
        'header only': (plain[:scan], Refused('truncated', 'before its picture')),
        'no header': (plain[:2] + plain[scan:], Refused('damaged', 'size')),
        'nothing in it': (b'\xff\xd8\xff\xd9' + bytes(9), Refused('damaged', 'no picture')),
        'two sizes': (two_sizes, Refused('damaged', 'two sizes')),
        'no rows': (made.jpeg_of_size(48, 0), Refused('damaged', '48 by 0 pixels')),
        'bomb': (made.jpeg_of_size(60_000, 60_000), Refused('too large', '64 megapixels')),
        '101 scans': (made.with_scans(101), Refused('too large', '101 scans')),
        '40 scans of 36 megapixels': (
            made.with_scans(40, (6000, 6000)),
            Refused('too large', '40 scans of 6,000'),
        ),
        'many segments': (
            plain[:2] + b'\xff\xfe\0\2' * 1000 + plain[2:],
            Refused('too large', '1,000 segments'),
        ),
        'lossless': (_patched(plain, frame + 1, 0xC3), Refused(other, 'SOF3')),
        '12 bits': (_patched(plain, frame + 4, 12), Refused(other, '12 bits')),
        '2 channels': (_patched(plain, frame + 9, 2), Refused(other, '2 channels')),
        **_cuts(detailed),
    }


def _good_pngs():
    image, kept, converted = made.quarters(), Accepted(kept=True), Accepted()
    plain, palette = made.encoded(image, 'PNG'), made.encoded(image.quantize(4), 'PNG')
    top_left = image.quantize(4).getpixel((0, 0))
    clear_red = made.encoded(image.quantize(4), 'PNG', transparency=top_left)
    clear_green = made.encoded(image, 'PNG', transparency=made.GREEN)
    text = made.chunk(b'zTXt', b'Comment\0\0' + zlib.compress(bytes(50_000_000)))
    one_bit = made.encoded(made.two_colours(), 'PNG')
    smallest = made.encoded(made.quarters((16, 16)), 'PNG')
    return {
        'plain': (plain, kept),
        'gray': (made.encoded(image.convert('L'), 'PNG'), kept._replace(colours=LUMA)),
        'smallest': (smallest, kept._replace(size=(16, 16))),
        'bytes after its end': (plain + b'trailing' * 100, kept),
        '2 megabytes after its end': (plain + bytes(2_000_000), kept),
        'text of 50 megabytes': (plain[:33] + text + plain[33:], kept),
        'palette': (palette, converted),
        'palette and a text of 50 megabytes': (palette[:33] + text + palette[33:], converted),
        'palette with transparency': (clear_red, Accepted(colours=(WHITE, *made.QUARTERS[1:]))),
        'RGBA': (made.encoded(made.with_alpha(), 'PNG'), Accepted(colours=ON_WHITE)),
        'gray with alpha': (made.encoded(image.convert('LA'), 'PNG'), Accepted(colours=LUMA)),
        'RGB with a transparent colour': (
            clear_green,
            Accepted(colours=(made.RED, WHITE, *made.QUARTERS[2:])),
        ),
        '16 bit gray': (made.png_16_bits(1, 0), Accepted(colours=REDS)),
        '16 bit RGB': (made.png_16_bits(3, 2), converted),
        '1 bit': (one_bit, Accepted(colours=BLACK_WHITE)),
        'EXIF orientation 6': (made.turned(6, 'PNG'), converted),
        'animated': (made.animated('PNG'), converted),
    }


def _bad_pngs():
    plain, detailed = (made.encoded(each, 'PNG') for each in (made.quarters(), made.noise()))
    rows = made.png(48, 32, 8, 2, bytes(144 * 32))
    fewer_rows = rows.replace(rows[8:33], made.png_of_size(48, 64)[8:33])
    wrong = made.flipped(detailed, detailed.index(b'IDAT') + 400)
    no_pixels = plain[:33] + made.chunk(b'IEND', b'')
    too_small = made.encoded(made.quarters((15, 400)), 'PNG')
    return {
        'animated, refused': (made.animated('PNG'), Refused('animated', '3 frames'), 'refuse'),
        'many texts': (made.with_texts(21), Refused('too large', '20 texts')),
        'many chunks': (
            plain[:33] + made.chunk(b'abCd', b'') * 100_000 + plain[33:],
            Refused('too large', '100,000 chunks'),
        ),
        'last chunk missing': (plain[:-12], Refused('truncated', 'ends')),
        'checksum wrong': (wrong, Refused('damaged', 'checksum')),
        'no header': (plain[:8] + plain[33:], Refused('damaged', 'size')),
        'no pixels': (no_pixels, Refused('damaged', 'cannot decode')),
        'fewer rows than it says': (fewer_rows, Refused('damaged', 'cannot decode')),
        'bomb': (made.png_of_size(60_000, 60_000), Refused('too large', '60,000 by 60,000')),
        'a line': (made.png_of_size(1, 60_000), Refused('too small', 'needs 16')),
        'too long': (made.png_of_size(65_600, 16), Refused('too large', '65,500')),
        'no columns': (made.png_of_size(0, 16), Refused('damaged', '0 by 16')),
        'too small': (too_small, Refused('too small', '15 by 400')),
        **_cuts(detailed),
    }


def _gifs():
    plain, frames = made.encoded(made.quarters(), 'GIF'), made.animated('GIF')
    detailed = made.encoded(made.noise(), 'GIF')
    bomb = made.gif_of_size(65_535, 65_535)
    return {
        'plain': (plain, Accepted()),
        'one frame': (plain, Accepted(), 'refuse'),
        'animated': (frames, Accepted()),
        'animated, refused': (frames, Refused('animated', '3 frames'), 'refuse'),
        'bytes after its end': (frames + b'trailing', Accepted()),
        'a long comment': (made.gif_with_comment(20_000), Accepted()),
        'bytes between its blocks': (plain[:-1] + b'\0\0;', Accepted()),
        'bomb': (bomb, Refused('too large', 'megapixels')),
        'cut in the last frame': (frames[:-5], Refused('truncated', 'ends')),
        'many blocks': (plain[:-1] + bytes(100_000) + b';', Refused('too large', '100,000 blocks')),
        'header only': (detailed[:12], Refused('truncated', '12 bytes')),
        'nothing in it': (detailed[:10] + b'\0\0\0;', Refused('damaged', 'no picture')),
        'garbage in it': (detailed[:-1] + b'\x99' * 20, Refused('damaged', 'block')),
        **_cuts(detailed),
    }


def _webps():
    image, frames = made.quarters(), made.animated('WEBP')
    lossless, alpha = (
        made.encoded(each, 'WEBP', lossless=True) for each in (image, made.with_alpha())
    )
    detailed = made.encoded(made.noise(), 'WEBP')
    bomb = made.webp_of_size(60_000, 60_000)
    return {
        'lossless': (lossless, Accepted()),
        'lossy': (made.encoded(image, 'WEBP', quality=95), Accepted('jpeg')),
        'RGBA': (alpha, Accepted(colours=ON_WHITE)),
        'animated': (frames, Accepted()),
        'animated, refused': (frames, Refused('animated', '3 frames'), 'refuse'),
        'EXIF orientation 8': (made.turned(8, 'WEBP'), Accepted()),
        'bomb': (bomb, Refused('too large', 'megapixels')),
        'header only': (detailed[:12], Refused('truncated', '12 bytes')),
        **_cuts(detailed),
    }


def _bmps():
    plain, one_bit = (made.encoded(each, 'BMP') for each in (made.quarters(), made.two_colours()))
    bomb = made.bmp_of_size(60_000, -60_000)
    return {
        'plain': (plain, Accepted()),
        '1 bit': (one_bit, Accepted(colours=BLACK_WHITE)),
        'bomb': (bomb, Refused('too large', 'megapixels')),
        'cut': (plain[: len(plain) // 2], Refused('truncated', 'ends')),
    }


def _tiffs():
    image, tiff_with = made.quarters(), made.tiff_with
    gray_16 = PIL.Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    negative = tuple((255 - red,) * 3 for red, _, _ in REDS)
    plain, lzw = (made.encoded(image, 'TIFF', compression=each) for each in (None, 'tiff_lzw'))
    floats = made.encoded(image.convert('F'), 'TIFF')
    bomb = tiff_with({256: (4, 1, 60_000), 257: (4, 1, 60_000)})
    tile = tiff_with({322: (4, 1, 40_000), 323: (4, 1, 20_000)})
    raw = tiff_with({50706: (1, 4, 0x0401)})
    # All begin at byte 0, as the values are zeros behind the directory.
    strips = tiff_with({273: (4, 50_000, 20_000), 279: (4, 50_000, 20_000), 278: (4, 1, 63)})
    strips += bytes(20_000 + 4 * 50_000 - len(strips) + 4)
    overlap = tiff_with({40_000 + each: (7, 8_000, 0) for each in range(300)})
    return {
        'plain': (plain, Accepted()),
        'LZW': (lzw, Accepted()),
        'CMYK': (made.encoded(image.convert('CMYK'), 'TIFF'), Accepted()),
        '16 bit': (made.encoded(gray_16, 'TIFF'), Accepted(colours=REDS)),
        '16 bit, white is 0': (tiff_with({262: (3, 1, 0)}, gray_16), Accepted(colours=negative)),
        'orientation 6': (made.turned(6, 'TIFF'), Accepted()),
        'two widths': (tiff_with({256: (3, 2, 48)}), Accepted()),
        'floating point': (floats, Refused('unsupported format', 'floating')),
        'raw photograph': (raw, Refused('unsupported format', 'DNG')),
        'bomb': (bomb, Refused('too large', 'megapixels')),
        'a tile much larger than the picture': (tile, Refused('damaged', 'tiles')),
        'an absurd compression': (tiff_with({259: (3, 1, 60_000)}), Refused('damaged', 'header')),
        'a tag of many values': (
            tiff_with({305: (3, 2**21, 0)}) + bytes(2**23),
            Refused('too large', 'tag 305 has 2,097,152 values'),
        ),
        'a tag of many rationals': (
            tiff_with({282: (5, 1001, 0)}) + bytes(8_008),
            Refused('too large', 'tag 282 has 1,001 values'),
        ),
        'a tag of many signed bytes': (
            tiff_with({40_000: (6, 2**21, 0)}) + bytes(2**21),
            Refused('too large', 'tag 40000 has 2,097,152 values'),
        ),
        'strips one over the other': (strips, Refused('damaged', '50,000 strips or tiles')),
        'values that overlap': (overlap, Refused('damaged', 'the values of its tags overlap')),
        'a tag of 4 GB': (tiff_with({258: (3, 2**31, 0)}), Refused('truncated', 'tag 258')),
        'pixels behind its end': (tiff_with({273: (4, 1, 2**31)}), Refused('truncated', 'ends')),
        'cut': (plain[: len(plain) // 2], Refused('truncated', 'ends')),
        'LZW, cut': (lzw[: len(lzw) // 2], Refused('truncated', 'directory')),
    }


def _heifs(make):
    """AVIF or HEIC, of `make(image, **options)`."""
    plain, detailed = make(), make(made.noise((320, 240)))
    converted = Accepted('jpeg')
    frames = [made.quarters(colours=made.QUARTERS[n:] + made.QUARTERS[:n]) for n in range(3)]
    several = make(frames[0], save_all=True, append_images=frames[1:])
    exif = PIL.Image.Exif()
    exif[made.ORIENTATION] = 6
    turned = make(made.quarters().transpose(PIL.Image.Transpose.ROTATE_90), exif=exif.tobytes())
    first = int.from_bytes(plain[:4], 'big')
    other_brand = plain[:8] + b'mif1' + plain[12:]
    return {
        'plain': (plain, converted),
        'RGBA': (make(made.with_alpha()), converted._replace(colours=ON_WHITE)),
        'gray': (make(made.quarters().convert('L')), converted._replace(colours=LUMA)),
        'another main brand': (other_brand, converted),
        'EXIF orientation 6': (turned, converted),
        'several images': (several, converted),
        'several images, refused': (several, Refused('animated', '3 frames'), 'refuse'),
        'bomb': (made.heif_of_size(plain, 60_000, 60_000), Refused('too large', '60,000 by 60')),
        'too small': (make(made.quarters((15, 40))), Refused('too small', '15 by 40')),
        'header only': (plain[:40], Refused('truncated', '40 bytes')),
        'no boxes': (plain[:first] + bytes(40), Refused('damaged', 'header')),
        **_cuts(detailed),
    }


def _other_heics():
    plain, detailed = made.heif(), made.heif(made.noise((320, 240)))
    return {
        'larger than it says': (made.heif_of_size(detailed, 48, 32), Refused('too large', 'limit')),
        'damaged EXIF': (made.heif(exif=b'Exif\0\0no TIFF'), Accepted('jpeg')),
        'smaller than it says': (made.heif_of_size(plain, 480, 320), Refused('damaged', 'size')),
    }


def _not_images():
    contents = {
        'no known image': np.random.default_rng(0).bytes(5000),
        '5,000 bytes are zero': bytes(5000),
        'begins with ff': b'\xff',
        'begins with ff d8': b'\xff\xd8',
        'begins with 89': b'\x89PNG',
        'HTML': b'<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n',
        'it is text': 'Größe unbekannt\n'.encode() * 500,
        'text, such': 'not an image'.encode('utf-16'),
        'PDF': b'%PDF-1.7\n%\xe2\xe3\xcf\xd3\n',
        'ZIP': b'PK\3\4' + bytes(90),
        'a video': b'\0\0\0\x18ftypisom' + bytes(90),
        'AVI': b'RIFF\x90\0\0\0AVI ' + bytes(90),
        'macOS': b'\0\5\x16\7\0\2\0\0Mac OS X',
        'Git LFS': b'version https://git-lfs.example/spec/v1\n',
    }
    return {words: (each, Refused('not an image', words)) for words, each in contents.items()}


def _unsupported():
    image = made.quarters()
    contents = {
        'SVG': b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="90"/>',
        'ICO': made.encoded(image, 'ICO', sizes=[(32, 32)]),
        'JPEG 2000': made.encoded(image, 'JPEG2000'),
        'JPEG XL': b'\0\0\0\x0cJXL \r\n\x87\n' + bytes(90),
        'Photoshop': b'8BPS\0\1' + bytes(90),
        'Netpbm': made.encoded(image, 'PPM'),
        'BigTIFF': made.encoded(image, 'TIFF', big_tiff=True),
        'raw photograph': b'II*\0\x10\0\0\0CR\2\0' + bytes(90),
    }
    return {words: (each, Refused('unsupported format', words)) for words, each in contents.items()}


ODD: dict[str, OddImage] = {
    f'{kind}, {name}': OddImage(*odd)
    for kind, files in {
        'JPEG': _good_jpegs() | _bad_jpegs(),
        'PNG': _good_pngs() | _bad_pngs(),
        'GIF': _gifs(),
        'WebP': _webps(),
        'BMP': _bmps(),
        'TIFF': _tiffs(),
        'AVIF': _heifs(made.avif),
        'HEIC': _heifs(made.heif) | _other_heics(),
        'other': {'empty': (b'', Refused('empty', 'no bytes'))} | _not_images() | _unsupported(),
    }.items()
    for name, odd in files.items()
}


def bad_files(animated=False):
    """A bad file for each reason, by file name; `animated` adds one with several frames."""
    names = {
        'empty.jpg': 'other, empty',
        'error_page.jpg': 'other, HTML',
        'photo.jpg': 'other, JPEG 2000',
        'download.jpg': 'JPEG, cut at 50 %',
        'flipped.png': 'PNG, checksum wrong',
        'icon.png': 'PNG, too small',
        'bomb.png': 'PNG, bomb',
    }
    if animated:
        names['moving.png'] = 'PNG, animated, refused'
    return {
        filename: (ODD[name].contents, ODD[name].outcome.reason) for filename, name in names.items()
    }
