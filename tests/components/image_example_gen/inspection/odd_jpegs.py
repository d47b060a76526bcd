"""Damaged and unusual JPEG files."""

import image_bytes as made
from odd_outcomes import LUMA, Accepted, Either, OddImage, Refused


def jpegs() -> dict[str, OddImage]:
    plain, detailed = made.jpeg(), made.jpeg(made.noise())
    frame, scan = made.frame_header(plain), plain.index(b'\xff\xda')
    as_it_is, any_colours = Accepted(), Accepted(size=(96, 64), colours=None)
    cmyk = made.jpeg(made.quarters().convert('CMYK'))
    odd = {
        'plain': OddImage(plain, as_it_is),
        'gray': OddImage(made.jpeg(made.quarters().convert('L')), Accepted(colours=LUMA)),
        'progressive': OddImage(made.jpeg(progressive=True), as_it_is),
        'restart markers': OddImage(made.jpeg(restart_marker_blocks=2), as_it_is),
        'bytes after its end': OddImage(plain + b'trailing' * 100, as_it_is),
        'a thumbnail in it': OddImage(made.with_app1(plain, b'Exif\0\0' + plain), as_it_is),
        'garbage EXIF': OddImage(made.with_app1(plain, b'Exif\0\0II*\0\xff\xff\xff\x7f'), as_it_is),
        'EXIF orientation 9': OddImage(made.turned(9), as_it_is),
        'CMYK and malformed MPF': OddImage(
            made.with_app1(cmyk, b'MPF\0II*\0').replace(b'\xff\xe1', b'\xff\xe2', 1),
            Accepted('CMYK to RGB'),
        ),
        'CMYK and garbage EXIF': OddImage(
            made.with_app1(cmyk, b'Exif\0\0II*\0\xff\xff\xff\x7f'), Accepted('CMYK to RGB')
        ),
        'MPO': OddImage(
            made.encoded(
                made.quarters(),
                'MPO',
                quality=95,
                subsampling=0,
                save_all=True,
                append_images=[made.noise()],
            ),
            as_it_is,
        ),
        'CMYK': OddImage(cmyk, Accepted('CMYK to RGB')),
        'YCCK': OddImage(made.ycck(), Accepted('CMYK to RGB')),
        'CMYK cut': OddImage(cmyk[:-300], Refused('truncated', f'after {len(cmyk) - 300:,} bytes')),
        'its end missing': OddImage(plain[:-2], Refused('truncated', 'in the middle')),
        'zeros instead of its second half': OddImage(
            detailed[: len(detailed) // 2].ljust(len(detailed), b'\0'), Refused('truncated', 'ends')
        ),
        'header only': OddImage(plain[:scan], Refused('truncated', 'before its picture')),
        'no header': OddImage(plain[:2] + plain[scan:], Refused('damaged', 'size')),
        'nothing in it': OddImage(b'\xff\xd8\xff\xd9' + bytes(9), Refused('damaged', 'no picture')),
        'no rows': OddImage(made.jpeg_of_size(48, 0), Refused('damaged', '48 by 0 pixels')),
        'bomb': OddImage(made.jpeg_of_size(60_000, 60_000), Refused('too large', '64 megapixels')),
        'fewer rows than it says': OddImage(made.jpeg_of_size(48, 320), Either()),
        'lossless': OddImage(
            _patched(plain, frame + 1, 0xC3), Refused('unsupported format', 'lossless')
        ),
        '12 bits': OddImage(
            _patched(plain, frame + 4, 12), Refused('unsupported format', '12 bits')
        ),
        '2 channels': OddImage(
            _patched(plain, frame + 9, 2), Refused('unsupported format', '2 colour')
        ),
        'arithmetic coding': OddImage(_patched(plain, frame + 1, 0xC9), Either()),
    }
    for tenth, cut in made.cuts(lambda: detailed).items():
        odd[f'cut at {tenth}0 %'] = OddImage(cut, Refused('truncated', f'{len(cut):,} bytes'))
    for quarter in range(4):
        place = scan + 20 + (len(detailed) - scan - 24) * quarter // 4
        odd[f'byte changed in quarter {quarter + 1}'] = OddImage(
            made.flipped(detailed, place), Either()
        )
    for orientation in range(1, 9):
        change = 'turned as EXIF says' if orientation > 1 else None
        odd[f'EXIF orientation {orientation}'] = OddImage(
            made.turned(orientation), Accepted(change)
        )
    odd['with detail'] = OddImage(detailed, any_colours)
    return {f'JPEG, {name}': value for name, value in odd.items()}


def _patched(contents: bytes, position: int, value: int) -> bytes:
    return contents[:position] + bytes([value]) + contents[position + 1 :]
