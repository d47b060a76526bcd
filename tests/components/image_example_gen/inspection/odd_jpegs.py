"""Damaged and unusual JPEG files."""

import image_bytes as made
from odd_outcomes import LUMA, Accepted, Either, OddImage, Refused

_GARBAGE_EXIF = b'Exif\0\0II*\0\xff\xff\xff\x7f'


def jpegs() -> dict[str, OddImage]:
    files = {**_accepted(), **_refused(), **_damaged()}
    return {f'JPEG, {name}': OddImage(*odd) for name, odd in files.items()}


def _accepted() -> dict[str, tuple]:
    image, kept, to_rgb = made.quarters(), Accepted(), Accepted('CMYK to RGB')
    plain, cmyk = made.jpeg(), made.jpeg(image.convert('CMYK'))
    options = {'quality': 95, 'subsampling': 0, 'save_all': True, 'append_images': [made.noise()]}
    files = {
        'plain': (plain, kept),
        'gray': (made.jpeg(image.convert('L')), Accepted(colours=LUMA)),
        'with detail': (made.jpeg(made.noise()), Accepted(size=(96, 64), colours=None)),
        'progressive': (made.jpeg(progressive=True), kept),
        'restart markers': (made.jpeg(restart_marker_blocks=2), kept),
        'bytes after its end': (plain + b'trailing' * 100, kept),
        'a thumbnail in it': (made.with_app1(plain, b'Exif\0\0' + plain), kept),
        'garbage EXIF': (made.with_app1(plain, _GARBAGE_EXIF), kept),
        'EXIF orientation 9': (made.turned(9), kept),
        'MPO': (made.encoded(image, 'MPO', **options), kept),
        'CMYK': (cmyk, to_rgb),
        'CMYK and garbage EXIF': (made.with_app1(cmyk, _GARBAGE_EXIF), to_rgb),
        'CMYK and malformed MPF': (
            made.with_app1(cmyk, b'MPF\0II*\0').replace(b'\xff\xe1', b'\xff\xe2', 1),
            to_rgb,
        ),
        'YCCK': (made.ycck(), to_rgb),
    }
    for orientation in range(1, 9):
        change = 'turned as EXIF says' if orientation > 1 else None
        files[f'EXIF orientation {orientation}'] = made.turned(orientation), Accepted(change)
    return files


def _refused() -> dict[str, tuple]:
    plain, detailed = made.jpeg(), made.jpeg(made.noise())
    frame, scan = made.frame_header(plain), plain.index(b'\xff\xda')
    cmyk = made.jpeg(made.quarters().convert('CMYK'))
    zeros = detailed[: len(detailed) // 2].ljust(len(detailed), b'\0')
    other = 'unsupported format'
    return {
        'CMYK cut': (cmyk[:-300], Refused('truncated', f'after {len(cmyk) - 300:,} bytes')),
        'its end missing': (plain[:-2], Refused('truncated', 'in the middle')),
        'zeros instead of its second half': (zeros, Refused('truncated', 'ends')),
        'header only': (plain[:scan], Refused('truncated', 'before its picture')),
        'no header': (plain[:2] + plain[scan:], Refused('damaged', 'size')),
        'nothing in it': (b'\xff\xd8\xff\xd9' + bytes(9), Refused('damaged', 'no picture')),
        'no rows': (made.jpeg_of_size(48, 0), Refused('damaged', '48 by 0 pixels')),
        'bomb': (made.jpeg_of_size(60_000, 60_000), Refused('too large', '64 megapixels')),
        'lossless': (_patched(plain, frame + 1, 0xC3), Refused(other, 'lossless')),
        '12 bits': (_patched(plain, frame + 4, 12), Refused(other, '12 bits')),
        '2 channels': (_patched(plain, frame + 9, 2), Refused(other, '2 colour')),
        **{
            f'cut at {tenth}0 %': (cut, Refused('truncated', f'{len(cut):,} bytes'))
            for tenth, cut in made.cuts(detailed).items()
        },
    }


def _damaged() -> dict[str, tuple]:
    plain, detailed = made.jpeg(), made.jpeg(made.noise())
    first = plain.index(b'\xff\xda') + 20
    places = (first + (len(detailed) - first - 4) * quarter // 4 for quarter in range(4))
    return {
        'fewer rows than it says': (made.jpeg_of_size(48, 320), Either()),
        'arithmetic coding': (_patched(plain, made.frame_header(plain) + 1, 0xC9), Either()),
        **{
            f'byte changed in quarter {quarter}': (made.flipped(detailed, place), Either())
            for quarter, place in enumerate(places, 1)
        },
    }


def _patched(contents: bytes, position: int, value: int) -> bytes:
    return contents[:position] + bytes([value]) + contents[position + 1 :]
