"""Damaged and unusual PNG files."""

import zlib

import image_bytes as made
import PIL.Image
from odd_outcomes import LUMA, ON_WHITE, REDS, Accepted, OddImage, Refused


def pngs() -> dict[str, OddImage]:
    image, detailed = made.quarters(), made.encoded(made.noise(), 'PNG')
    plain = made.encoded(image, 'PNG')
    palette, data = image.quantize(4), detailed.index(b'IDAT')
    clear = made.with_alpha()
    bomb = made.chunk(b'zTXt', b'Comment\0\0' + zlib.compress(bytes(50_000_000)))
    as_it_is = Accepted(format='png')
    odd = {
        'plain': OddImage(plain, as_it_is),
        'gray': OddImage(
            made.encoded(image.convert('L'), 'PNG'), Accepted(None, 'png', colours=LUMA)
        ),
        'bytes after its end': OddImage(plain + b'trailing' * 100, as_it_is),
        'text of 50 megabytes': OddImage(plain[:33] + bomb + plain[33:], as_it_is),
        'palette': OddImage(made.encoded(palette, 'PNG'), Accepted('palette to RGB', 'png')),
        'palette and a text of 50 megabytes': OddImage(
            _with_chunk(made.encoded(palette, 'PNG'), bomb), Accepted('palette to RGB', 'png')
        ),
        'palette with transparency': OddImage(
            _clear_palette(palette),
            Accepted(
                'transparent parts to white', 'png', colours=((255, 255, 255), *made.QUARTERS[1:])
            ),
        ),
        'RGBA': OddImage(
            made.encoded(clear, 'PNG'),
            Accepted('transparent parts to white', 'png', colours=ON_WHITE),
        ),
        'gray with alpha': OddImage(
            made.encoded(image.convert('LA'), 'PNG'),
            Accepted('transparent parts to white', 'png', colours=LUMA),
        ),
        'RGB with a transparent colour': OddImage(
            made.encoded(image, 'PNG', transparency=made.GREEN),
            Accepted(
                'transparent parts to white',
                'png',
                colours=(made.RED, (255, 255, 255), *made.QUARTERS[2:]),
            ),
        ),
        '16 bit gray': OddImage(
            made.png_16_bits(1, 0), Accepted('16 bit to RGB', 'png', colours=REDS)
        ),
        '16 bit RGB': OddImage(made.png_16_bits(3, 2), Accepted('16 bit to RGB', 'png')),
        '1 bit': OddImage(
            made.encoded(made.two_colours(), 'PNG'),
            Accepted('1 bit to RGB', 'png', colours=((0,) * 3, (255,) * 3) * 2),
        ),
        'EXIF orientation 6': OddImage(
            made.turned(6, 'PNG'), Accepted('turned as EXIF says', 'png')
        ),
        'animated': OddImage(made.animated('PNG'), Accepted('first of 3 frames', 'png')),
        'animated, refused': OddImage(
            made.animated('PNG'), Refused('animated', '3 frames'), 'refuse'
        ),
        'last chunk missing': OddImage(plain[:-12], Refused('truncated', 'ends')),
        'checksum wrong': OddImage(
            made.flipped(detailed, data + 400), Refused('damaged', 'checksum')
        ),
        'no header': OddImage(plain[:8] + plain[33:], Refused('damaged', 'size')),
        'no pixels': OddImage(
            plain[:33] + made.chunk(b'IEND', b''), Refused('damaged', 'cannot decode')
        ),
        'fewer rows than it says': OddImage(
            made.png(48, 32, 8, 2, bytes(144 * 32)).replace(
                made.png(48, 32, 8, 2, bytes(144 * 32))[8:33], made.png_of_size(48, 64)[8:33]
            ),
            Refused('damaged', 'cannot decode'),
        ),
        'bomb': OddImage(
            made.png_of_size(60_000, 60_000), Refused('too large', '60,000 by 60,000')
        ),
        'a line': OddImage(made.png_of_size(1, 60_000), Refused('too small', 'needs 16')),
        'too long': OddImage(made.png_of_size(65_600, 16), Refused('too large', '65,500')),
        'no columns': OddImage(made.png_of_size(0, 16), Refused('damaged', '0 by 16')),
        'too small': OddImage(
            made.encoded(made.quarters((15, 400)), 'PNG'), Refused('too small', '15 by 400')
        ),
        'smallest': OddImage(
            made.encoded(made.quarters((16, 16)), 'PNG'), Accepted(None, 'png', (16, 16))
        ),
    }
    for tenth, cut in made.cuts(lambda: detailed).items():
        odd[f'cut at {tenth}0 %'] = OddImage(cut, Refused('truncated', f'{len(cut):,} bytes'))
    return {f'PNG, {name}': value for name, value in odd.items()}


def _with_chunk(contents: bytes, chunk: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    return contents[:33] + chunk + contents[33:]


def _clear_palette(palette: PIL.Image.Image) -> bytes:
    """Of which red, at the top left, is transparent."""
    return made.encoded(palette, 'PNG', transparency=palette.getpixel((0, 0)))
