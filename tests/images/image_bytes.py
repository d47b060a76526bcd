"""Bytes of image files, made by hand where no program would write them that way."""

import io
import struct
import zlib

import numpy as np
import PIL.Image

Colours = tuple[tuple[int, int, int], ...]

SIZE = WIDTH, HEIGHT = 48, 32
RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 180, 40), (30, 40, 220), (230, 220, 40)
QUARTERS: Colours = (RED, GREEN, BLUE, YELLOW)  # top left, top right, bottom left, bottom right
ORIENTATION = 0x0112


def quarters(size=SIZE, colours=QUARTERS):
    """Four colours, each in its corner."""
    corners = np.array(colours, np.uint8).reshape(2, 2, -1)
    return PIL.Image.fromarray(corners).resize(size, PIL.Image.Resampling.NEAREST)


def middles(pixels):
    """The colours in the middle of the four quarters, `[4, 3]`."""
    height, width = pixels.shape[:2]
    return np.array(
        [pixels[y, x] for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    )


def with_alpha():
    """Opaque on the left; clear at the top right, half so below."""
    alpha = quarters(colours=tuple((value,) * 3 for value in (255, 0, 255, 128))).convert('L')
    image = quarters()
    image.putalpha(alpha)
    return image


def noise(size=(96, 64), seed=0):
    """Something with detail everywhere, so that each part of the file matters."""
    values = np.random.default_rng(seed).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    return PIL.Image.fromarray(values).resize(size, PIL.Image.Resampling.BICUBIC)


def natural(seed, size=(320, 240)):
    """Noise whose amplitudes fall with the frequency, as in photographs (Field, 1987)."""
    width, height = size
    random = np.random.default_rng(seed)
    across, down = np.fft.fftfreq(width), np.fft.fftfreq(height)
    falling = 1 / np.maximum(np.hypot(across, down[:, None]), 1 / width)
    spectrum = np.fft.fft2(random.normal(size=(3, height, width))) * falling
    pixels = np.moveaxis(np.fft.ifft2(spectrum).real, 0, -1)
    pixels = 120 + 45 * (pixels - pixels.mean()) / pixels.std()
    return PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image, kind='JPEG', **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(image=None, **options):
    return encoded(image or quarters(), 'JPEG', **{'quality': 95, 'subsampling': 0, **options})


def turned(orientation, kind='JPEG', byte_order='<'):
    """A file whose pixels are turned so that its EXIF orientation makes them upright again."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    image = quarters()
    if orientation in undo:
        image = image.transpose(PIL.Image.Transpose(undo[orientation]))
    exif = PIL.Image.Exif()
    exif.endian = byte_order
    exif[ORIENTATION] = orientation
    options = {'JPEG': {'quality': 95, 'subsampling': 0}, 'WEBP': {'lossless': True}}.get(kind, {})
    return encoded(image, kind, exif=exif.tobytes(), **options)


def patched(contents, position, value):
    """A file with other bytes at a position."""
    return contents[:position] + value + contents[position + len(value) :]


def with_app1(contents, payload):
    """A JPEG with one more segment at its beginning."""
    return contents[:2] + b'\xff\xe1' + struct.pack('>H', len(payload) + 2) + payload + contents[2:]


def jpeg_of_size(width, height):
    """A JPEG that says it is larger than it is."""
    return patched(jpeg(), jpeg().index(b'\xff\xc0') + 5, struct.pack('>HH', height, width))


def ycck():
    """A CMYK JPEG whose colours are stored as YCCK, as Photoshop does."""
    inverse = PIL.Image.fromarray(255 - np.asarray(quarters())).convert('YCbCr')
    stored = np.concatenate([255 - np.asarray(inverse), np.zeros((HEIGHT, WIDTH, 1), np.uint8)], 2)
    contents = jpeg(PIL.Image.frombytes('CMYK', SIZE, stored.tobytes()))
    return patched(contents, contents.index(b'Adobe') + 11, b'\2')


def with_scans(number, size=(16, 16)):
    """A progressive JPEG of one plain colour, with its last scan repeated."""
    contents = jpeg(PIL.Image.new('L', size), progressive=True)
    last = contents.rindex(b'\xff\xda')
    scans = contents.count(b'\xff\xda\0')
    return contents[:-2] + contents[last:-2] * (number - scans) + contents[-2:]


def with_texts(number, length=1000):
    """A PNG with compressed texts of `length` zeros each."""
    plain, text = encoded(quarters(), 'PNG'), zlib.compress(bytes(length), 9)
    texts = (chunk(b'zTXt', b'Text %d\0\0' % each + text) for each in range(number))
    return plain[:33] + b''.join(texts) + plain[33:]


def chunk(kind, payload):
    checksum = zlib.crc32(kind + payload)
    return struct.pack('>I', len(payload)) + kind + payload + struct.pack('>I', checksum)


def png(width, height, bits, kind, rows):
    """A PNG of raw rows without filters."""
    length = len(rows) // height
    raw = b''.join(b'\0' + rows[n * length : (n + 1) * length] for n in range(height))
    header = struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, 0)
    chunks = (b'IHDR', header), (b'IDAT', zlib.compress(raw)), (b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*each) for each in chunks)


def png_16_bits(channels, kind):
    """The quarters in 16 bits, gray (of their red) or RGB."""
    pixels = np.asarray(quarters()).astype('>u2')[..., :channels] * 257
    return png(WIDTH, HEIGHT, 16, kind, pixels.tobytes())


def png_of_size(width, height):
    return png(width, height, 8, 2, bytes(3 * height))


def bmp_of_size(width, height):
    return patched(encoded(quarters(), 'BMP'), 18, struct.pack('<ii', width, height))


def bmp_with_alpha(alpha):
    """A BMP of 32 bits whose header says that one of the channels is alpha."""
    pixels = np.asarray(quarters().transpose(PIL.Image.Transpose.FLIP_TOP_BOTTOM))[..., ::-1]
    pixels = np.dstack([pixels, np.full((HEIGHT, WIDTH), alpha, np.uint8)])
    masks = struct.pack('<4I', 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack('<IiiHHIIiiII', 108, WIDTH, HEIGHT, 1, 32, 3, 0, 0, 0, 0, 0) + masks
    header = header.ljust(108, b'\0')
    return b'BM' + struct.pack('<IHHI', 122 + pixels.size, 0, 0, 122) + header + pixels.tobytes()


def gif_of_size(width, height):
    return patched(encoded(quarters(), 'GIF'), 6, struct.pack('<HH', width, height))


def gif_with_comment(sub_blocks):
    """A GIF with a comment before its picture; Pillow takes quadratic time to read it."""
    contents = encoded(quarters(), 'GIF')
    start = 13 + (3 << ((contents[10] & 7) + 1))
    comment = b'\x21\xfe' + (b'\xff' + bytes(255)) * sub_blocks + b'\0'
    return contents[:start] + comment + contents[start:]


def webp_of_size(width, height):
    sides = (width - 1).to_bytes(3, 'little') + (height - 1).to_bytes(3, 'little')
    body = b'WEBPVP8X' + struct.pack('<I', 10) + bytes(4) + sides
    body += encoded(quarters(), 'WEBP')[12:]
    return b'RIFF' + struct.pack('<I', len(body)) + body


def heif(image=None, **options):
    """A HEIC file; needs pillow-heif."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    return encoded(image or quarters(), 'HEIF', **{'quality': -1, 'chroma': 444, **options})


def avif(image=None, **options):
    return encoded(
        image or quarters(), 'AVIF', **{'quality': 95, 'subsampling': '4:4:4', **options}
    )


def avif_bomb():
    """An AVIF file that says it has 256 megapixels."""
    return patched(avif(), avif().index(b'ispe') + 8, struct.pack('>II', 16_000, 16_000))


def tiff_with(tags, image=None, **options):
    """A little-endian TIFF with tags added or replaced: type, count, value."""
    contents = encoded(image or quarters(), 'TIFF', **options)
    (start,) = struct.unpack_from('<I', contents, 4)
    (number,) = struct.unpack_from('<H', contents, start)
    entries = struct.iter_unpack('<HHII', contents[start + 2 : start + 2 + 12 * number])
    changed = {tag: entry for tag, *entry in entries} | tags
    directory = b''.join(struct.pack('<HHII', tag, *changed[tag]) for tag in sorted(changed))
    contents = contents[:4] + struct.pack('<I', len(contents)) + contents[8:]
    return contents + struct.pack('<H', len(changed)) + directory + bytes(4)


def tiff_of_long_tags():
    """A TIFF whose tags would take gigabytes."""
    return tiff_with({40_000 + n: (16, 375_000, 8) for n in range(500)}) + bytes(3_000_000)


def animated(kind):
    """Three frames, the first of which has the colours in their corners."""
    frames = [quarters(colours=QUARTERS[n:] + QUARTERS[:n]) for n in range(3)]
    options = {'lossless': True} if kind == 'WEBP' else {}
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)


def flipped(contents, position):
    """One byte changed to its complement."""
    return patched(contents, position, bytes([contents[position] ^ 0xFF]))
