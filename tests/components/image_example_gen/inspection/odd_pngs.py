"""Damaged and unusual PNG files."""

import zlib

import image_bytes as made
from odd_outcomes import BLACK_WHITE, LUMA, ON_WHITE, REDS, Accepted, OddImage, Refused

_WHITE = (255, 255, 255)


def pngs() -> dict[str, OddImage]:
    files = {**_accepted(), **_refused()}
    return {f'PNG, {name}': OddImage(*odd) for name, odd in files.items()}


def _accepted() -> dict[str, tuple]:
    image, kept = made.quarters(), Accepted(format='png')
    plain, palette = made.encoded(image, 'PNG'), made.encoded(image.quantize(4), 'PNG')
    reds = image.quantize(4).getpixel((0, 0))  # top left
    clear_red = made.encoded(image.quantize(4), 'PNG', transparency=reds)
    clear_green = made.encoded(image, 'PNG', transparency=made.GREEN)
    text = made.chunk(b'zTXt', b'Comment\0\0' + zlib.compress(bytes(50_000_000)))

    def on_white(*colours: tuple[int, ...]) -> Accepted:
        return Accepted('transparent parts to white', 'png', colours=colours)

    return {
        'plain': (plain, kept),
        'gray': (made.encoded(image.convert('L'), 'PNG'), Accepted(None, 'png', colours=LUMA)),
        'smallest': (
            made.encoded(made.quarters((16, 16)), 'PNG'),
            Accepted(None, 'png', (16, 16)),
        ),
        'bytes after its end': (plain + b'trailing' * 100, kept),
        '2 megabytes after its end': (plain + bytes(2_000_000), kept),
        'text of 50 megabytes': (plain[:33] + text + plain[33:], kept),
        'palette': (palette, Accepted('palette to RGB', 'png')),
        'palette and a text of 50 megabytes': (
            palette[:33] + text + palette[33:],
            Accepted('palette to RGB', 'png'),
        ),
        'palette with transparency': (clear_red, on_white(_WHITE, *made.QUARTERS[1:])),
        'RGBA': (made.encoded(made.with_alpha(), 'PNG'), on_white(*ON_WHITE)),
        'gray with alpha': (made.encoded(image.convert('LA'), 'PNG'), on_white(*LUMA)),
        'RGB with a transparent colour': (
            clear_green,
            on_white(made.RED, _WHITE, *made.QUARTERS[2:]),
        ),
        '16 bit gray': (made.png_16_bits(1, 0), Accepted('16 bit to RGB', 'png', colours=REDS)),
        '16 bit RGB': (made.png_16_bits(3, 2), Accepted('16 bit to RGB', 'png')),
        '1 bit': (
            made.encoded(made.two_colours(), 'PNG'),
            Accepted('1 bit to RGB', 'png', colours=BLACK_WHITE),
        ),
        'EXIF orientation 6': (made.turned(6, 'PNG'), Accepted('turned as EXIF says', 'png')),
        'animated': (made.animated('PNG'), Accepted('first of 3 frames', 'png')),
    }


def _refused() -> dict[str, tuple]:
    plain, detailed = (made.encoded(each, 'PNG') for each in (made.quarters(), made.noise()))
    rows = made.png(48, 32, 8, 2, bytes(144 * 32))
    fewer_rows = rows.replace(rows[8:33], made.png_of_size(48, 64)[8:33])
    wrong = made.flipped(detailed, detailed.index(b'IDAT') + 400)
    no_pixels = plain[:33] + made.chunk(b'IEND', b'')
    too_small = made.encoded(made.quarters((15, 400)), 'PNG')
    return {
        'animated, refused': (made.animated('PNG'), Refused('animated', '3 frames'), 'refuse'),
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
        **{
            f'cut at {tenth}0 %': (cut, Refused('truncated', f'{len(cut):,} bytes'))
            for tenth, cut in made.cuts(detailed).items()
        },
    }
