"""Damaged and unusual files of the formats that are converted."""

import image_bytes as made
import numpy as np
import PIL.Image
from odd_outcomes import ON_WHITE, REDS, Accepted, OddImage, Refused


def others() -> dict[str, OddImage]:
    image, detail = made.quarters(), made.noise()
    gif, webp = made.encoded(detail, 'GIF'), made.encoded(detail, 'WEBP')
    bmp, tiff = made.encoded(detail, 'BMP'), made.encoded(detail, 'TIFF')
    lzw, frames = made.encoded(detail, 'TIFF', compression='tiff_lzw'), made.animated('GIF')
    gray_16 = PIL.Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    odd = {
        'GIF': OddImage(made.encoded(image, 'GIF'), Accepted('GIF to PNG', 'png')),
        'GIF, animated': OddImage(frames, Accepted('GIF to PNG, first of 3 frames', 'png')),
        'GIF, cut in the last frame': OddImage(frames[:-5], Refused('truncated', 'ends')),
        'GIF, bytes after its end': OddImage(
            frames + b'trailing', Accepted('GIF to PNG, first of 3 frames', 'png')
        ),
        'GIF, animated, refused': OddImage(frames, Refused('animated', '3 frames'), 'refuse'),
        'GIF, one frame': OddImage(
            made.encoded(image, 'GIF'), Accepted('GIF to PNG', 'png'), 'refuse'
        ),
        'GIF, bomb': OddImage(made.gif_of_size(65_535, 65_535), Refused('too large', 'megapixels')),
        'GIF, header only': OddImage(gif[:13], Refused('truncated', '13 bytes')),
        'GIF, nothing in it': OddImage(gif[:10] + b'\0\0\0;', Refused('damaged', 'no picture')),
        'GIF, garbage in it': OddImage(gif[:-1] + b'\x99' * 20, Refused('damaged', 'block')),
        'WebP': OddImage(
            made.encoded(image, 'WEBP', lossless=True), Accepted('WebP to PNG', 'png')
        ),
        'WebP, lossy': OddImage(made.encoded(image, 'WEBP', quality=95), Accepted('WebP to JPEG')),
        'WebP, RGBA': OddImage(
            made.encoded(made.with_alpha(), 'WEBP', lossless=True),
            Accepted('WebP to PNG', 'png', colours=ON_WHITE),
        ),
        'WebP, animated': OddImage(
            made.animated('WEBP'), Accepted('WebP to PNG, first of 3 frames', 'png')
        ),
        'WebP, animated, refused': OddImage(
            made.animated('WEBP'), Refused('animated', '3 frames'), 'refuse'
        ),
        'WebP, EXIF orientation 8': OddImage(
            made.turned(8, 'WEBP'), Accepted('WebP to PNG, turned as EXIF says', 'png')
        ),
        'WebP, bomb': OddImage(made.webp_of_size(60_000, 60_000), Refused('too large', '60,000')),
        'WebP, header only': OddImage(webp[:12], Refused('truncated', '12 bytes')),
        'BMP': OddImage(made.encoded(image, 'BMP'), Accepted('BMP to PNG', 'png')),
        'BMP, 1 bit': OddImage(
            made.encoded(made.two_colours(), 'BMP'),
            Accepted('BMP to PNG', 'png', colours=((0,) * 3, (255,) * 3) * 2),
        ),
        'BMP, bomb': OddImage(
            made.bmp_of_size(60_000, -60_000), Refused('too large', 'megapixels')
        ),
        'BMP, cut': OddImage(bmp[: len(bmp) // 2], Refused('truncated', 'ends')),
        'TIFF': OddImage(made.encoded(image, 'TIFF'), Accepted('TIFF to PNG', 'png')),
        'TIFF, LZW': OddImage(
            made.encoded(image, 'TIFF', compression='tiff_lzw'), Accepted('TIFF to PNG', 'png')
        ),
        'TIFF, CMYK': OddImage(
            made.encoded(image.convert('CMYK'), 'TIFF'), Accepted('TIFF to PNG', 'png')
        ),
        'TIFF, 16 bit': OddImage(
            made.encoded(gray_16, 'TIFF'), Accepted('TIFF to PNG', 'png', colours=REDS)
        ),
        'TIFF, 16 bit, white is 0': OddImage(
            made.tiff_with({262: (3, 1, 0)}, gray_16),
            Accepted('TIFF to PNG', 'png', colours=tuple((255 - red,) * 3 for red, _, _ in REDS)),
        ),
        'TIFF, orientation 6': OddImage(made.turned(6, 'TIFF'), Accepted('TIFF to PNG', 'png')),
        'TIFF, floating point': OddImage(
            made.encoded(image.convert('F'), 'TIFF'), Refused('unsupported format', 'floating')
        ),
        'TIFF, bomb': OddImage(
            made.tiff_with({256: (4, 1, 60_000), 257: (4, 1, 60_000)}),
            Refused('too large', 'megapixels'),
        ),
        'TIFF, two widths': OddImage(
            made.tiff_with({256: (3, 2, 48)}), Accepted('TIFF to PNG', 'png')
        ),
        'TIFF, a tag of 4 gigabytes': OddImage(
            made.tiff_with({258: (3, 2**31, 0)}), Refused('truncated', 'tag 258')
        ),
        'TIFF, pixels behind its end': OddImage(
            made.tiff_with({273: (4, 1, 2**31)}), Refused('truncated', 'ends')
        ),
        'TIFF, an absurd compression': OddImage(
            made.tiff_with({259: (3, 1, 60_000)}), Refused('damaged', 'header')
        ),
        'TIFF, a tile much larger than the picture': OddImage(
            made.tiff_with({322: (4, 1, 40_000), 323: (4, 1, 20_000)}), Refused('damaged', 'tiles')
        ),
        'TIFF, raw photograph': OddImage(
            made.tiff_with({50706: (1, 4, 0x0401)}), Refused('unsupported format', 'DNG')
        ),
        'TIFF, LZW, cut': OddImage(lzw[: len(lzw) // 2], Refused('truncated', 'directory')),
        'TIFF, cut': OddImage(tiff[: len(tiff) // 2], Refused('truncated', 'ends')),
        'a PNG of 2 megabytes': OddImage(
            made.encoded(image, 'PNG') + bytes(2_000_000), Accepted(format='png')
        ),
    }
    for tenth in range(1, 10):
        for name, contents in (('GIF', gif), ('WebP', webp)):
            cut = contents[: len(contents) * tenth // 10]
            odd[f'{name}, cut at {tenth}0 %'] = OddImage(cut, Refused('truncated', f'{len(cut):,}'))
    return odd
