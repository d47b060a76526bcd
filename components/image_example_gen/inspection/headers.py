"""Reads the header of an image: its size, and how it differs from an upright 8-bit RGB image.

No pixel is decoded, so that an image that is too large is refused before memory is allocated.
"""

import contextlib
import io
import itertools
import operator
import re
import struct
import warnings
from dataclasses import dataclass

import PIL.ExifTags
import PIL.Image
import PIL.TiffImagePlugin

from common.errors import Rejected
from components.image_example_gen.inspection.file_structure import (
    read_gif,
    read_jpeg_header,
    read_png_chunks,
    read_tiff_directory,
    tiff_order,
)
from components.image_example_gen.inspection.heif import read_heif_header
from components.image_example_gen.inspection.heif_decoder import HeifFormat
from components.image_example_gen.inspection.magic_numbers import ImageFormat, detect_format

# Pillow warns about damaged EXIF data and TIFF tags, and about images above half of its own limit.
# Images are read in threads, where `warnings.catch_warnings` is not safe.
warnings.filterwarnings('ignore', module=r'PIL\.')

# TensorFlow decodes fewer than 2**29 values. By default Pillow refuses the same images.
MAX_PIXELS = (2**29 - 1) // 3

# Of memory for a pixel. libtiff holds a strip besides the picture, which may be all of it. The
# subprocess that decodes AVIF and HEIC takes most before this process has any pixel.
_REDUCED_BYTES, _CONVERTED_BYTES = 0.2, 8
_MORE_BYTES = {'WebP': 16, 'TIFF': 12, 'AVIF': 15, 'HEIC': 15}
_PNG_GRAY_OR_RGB = (0, 2)
_TILE_WIDTH, _TILE_LENGTH, _DNG_VERSION = 322, 323, 50706
# Pillow ignores the order of the bytes after the first two.
_EXIF, _TIFF = b'Exif\0\0', (b'II*\0', b'II\0*', b'MM\0*', b'MM*\0')
_MOST_EXIF_TAGS = 200  # cameras write about a dozen
# Bytes of a value, by the types that Pillow reads.
_TYPE_BYTES = dict.fromkeys((1, 2, 6, 7), 1) | dict.fromkeys((3, 8), 2)
_TYPE_BYTES |= dict.fromkeys((4, 9, 11, 13), 4) | dict.fromkeys((5, 10, 12, 16), 8)
_SHORT, _LONG = 3, 4
_BYTES = (1, 2, 7)  # types; Pillow makes a Python object of each value of the others
_RATIONALS = (5, 10)  # types, of which a thousand take milliseconds
_MOST_VALUES, _MOST_RATIONALS = 2**20, 1000  # more than rows of the largest image
_SHARED_BYTES = 2**20  # of values of several tags; some programs write equal ones once
_STRIPS_AND_TILES = ((273, 279), (324, 325))  # tags of offsets and of byte counts
_SAMPLES_PER_PIXEL, _ROWS_PER_STRIP = 277, 278


@dataclass(frozen=True)
class Header:
    """The header of an image in any supported format."""

    format: ImageFormat
    width: int
    height: int
    plain: bool = False  # a JPEG or PNG of 8-bit RGB or gray: TensorFlow decodes its pixels
    frames: int = 1
    orientation: int = 1  # as in EXIF; 1 is upright. Always 1 for TIFF, which Pillow turns
    lossy: bool = False  # compressed with loss
    scans: int = 1  # of a JPEG, at most
    coefficients: int = 0  # of a pixel, which a decoder holds of the whole picture at once

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height

    @property
    def is_kept(self) -> bool:
        """Whether the bytes are stored unchanged."""
        return self.plain and self.orientation == 1

    @property
    def decoding_bytes(self) -> int:
        """About the memory that checking the image takes besides its file.

        A JPEG that is kept is decoded at an eighth of its size. A converted image is in memory two
        or three times, with 4 bytes a pixel.
        """
        held = 2 * self.coefficients  # 16 bits each
        if self.format == 'JPEG' and self.is_kept:
            return int(self.pixels * (held + _REDUCED_BYTES))
        return self.pixels * (_MORE_BYTES.get(self.format, _CONVERTED_BYTES) + held)


def read_header(contents: bytes) -> Header:
    """Reads the header of any file; raises Rejected, or almost any exception of Pillow."""
    image_format = detect_format(contents)
    if image_format == 'AVIF' or image_format == 'HEIC':
        return _heif(contents, image_format)
    readers = {'JPEG': _jpeg, 'PNG': _png, 'GIF': _gif, 'WebP': _webp, 'BMP': _bmp, 'TIFF': _tiff}
    return readers[image_format](contents)


def open_image(contents: bytes, image_format: ImageFormat) -> PIL.Image.Image:
    """Opens an image with Pillow, which reads its header."""
    return PIL.Image.open(io.BytesIO(contents), formats=[image_format])


def _jpeg(contents: bytes) -> Header:
    read = read_jpeg_header(contents)
    return Header(
        'JPEG',
        read.width,
        read.height,
        plain=read.channels != 4,  # CMYK
        coefficients=read.channels if read.progressive else 0,
        orientation=_orientation(read.exif),
        lossy=True,
        scans=read.scans,
    )


def _png(contents: bytes) -> Header:
    chunks = read_png_chunks(contents)
    width, height, bits, colour_type = struct.unpack_from('>IIBB', chunks[b'IHDR'])
    plain = bits == 8 and colour_type in _PNG_GRAY_OR_RGB and b'tRNS' not in chunks
    frames = max(int.from_bytes(chunks.get(b'acTL', b'')[:4], 'big'), 1)
    return Header('PNG', width, height, plain, frames, _orientation(chunks.get(b'eXIf', b'')))


def _gif(contents: bytes) -> Header:
    frames, first = read_gif(contents)
    with open_image(first, 'GIF') as image:
        return Header('GIF', *image.size, frames=frames)


def _bmp(contents: bytes) -> Header:
    with open_image(contents, 'BMP') as image:
        return Header('BMP', *image.size)


def _webp(contents: bytes) -> Header:
    if 8 + int.from_bytes(contents[4:8], 'little') > len(contents):
        raise Rejected.truncated(contents)
    if contents[12:16] == b'VP8X':  # its canvas may be larger than what libwebp should allocate
        width, height = (int.from_bytes(contents[n : n + 3], 'little') + 1 for n in (24, 27))
        if width * height > MAX_PIXELS:
            return Header('WebP', width, height)
    codec = re.search(rb'VP8[ L]', contents)
    with open_image(contents, 'WebP') as image:
        return Header(
            'WebP',
            *image.size,
            frames=getattr(image, 'n_frames', 1),
            orientation=_orientation(image.info.get('exif', b'')),
            lossy=codec is not None and codec.group() == b'VP8 ',
        )


def _heif(contents: bytes, image_format: HeifFormat) -> Header:
    read = read_heif_header(contents, image_format)
    return Header(
        image_format,
        read.width,
        read.height,
        frames=read.frames,
        orientation=_orientation(read.exif),
        lossy=True,
    )


def _tiff(contents: bytes) -> Header:
    _check_directory(contents)
    with open_image(contents, 'TIFF') as image:
        assert isinstance(image, PIL.TiffImagePlugin.TiffImageFile)
        tags = image.tag_v2
        if _DNG_VERSION in tags:
            raise Rejected('unsupported format', 'it is a raw photograph (DNG)')
        # libtiff allocates a whole tile, however small the picture is.
        width, length = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
        if max(width, length) > 2 * max(image.size) + 1024:
            raise Rejected('damaged', f'its tiles are {width:,} by {length:,} pixels')
        _check_number_of_parts(tags, *image.size)
        for offsets, byte_counts in _STRIPS_AND_TILES:
            ends = map(operator.add, tags.get(offsets, ()), tags.get(byte_counts, ()))
            if max(ends, default=0) > len(contents):
                raise Rejected.truncated(contents)
        return Header('TIFF', *image.size)


def _check_number_of_parts(
    tags: PIL.TiffImagePlugin.ImageFileDirectory_v2, width: int, height: int
) -> None:
    """Checks that there are no more strips or tiles than the picture has room for.

    Pillow would decode the others over the first ones, again and again.
    """
    strip = width, tags.get(_ROWS_PER_STRIP, height)
    tile = tags.get(_TILE_WIDTH, width), tags.get(_TILE_LENGTH, height)
    for (across, down), (offsets, _) in zip((strip, tile), _STRIPS_AND_TILES, strict=True):
        room = -(-width // max(across, 1)) * -(-height // max(down, 1))
        most = room * tags.get(_SAMPLES_PER_PIXEL, 1)  # if each colour has its own parts
        if (parts := len(tags.get(offsets, ()))) > most:
            raise Rejected('damaged', f'it has {parts:,} strips or tiles, and room for {most:,}')


def _check_directory(contents: bytes) -> None:
    """Checks that the directory and all values lie in the file, and that they do not overlap.

    Pillow only warns about missing values, and copies each of those that overlap.
    """
    room = len(contents) + _SHARED_BYTES
    try:
        for _, tag, kind, count, value in read_tiff_directory(contents):
            length = count * _TYPE_BYTES.get(kind, 0)
            if length > len(value):
                (offset,) = struct.unpack(f'{tiff_order(contents)}I', value)
                if offset + length > len(contents):
                    raise Rejected.truncated(contents, f'before the values of its tag {tag}')
            most = _MOST_RATIONALS if kind in _RATIONALS else _MOST_VALUES
            if count > most and kind not in _BYTES:
                raise Rejected('too large', f'its tag {tag} has {count:,} values')
            room -= length
            if room < 0:
                raise Rejected('damaged', 'the values of its tags overlap')
    except struct.error as error:
        raise Rejected.truncated(contents, 'before the end of its directory') from error


def _orientation(exif: bytes | memoryview) -> int:
    """The EXIF orientation, 1 to 8, as `trainer.orientation` reads it; 1 if it is damaged.

    Pillow, which reads the same, would copy the values of all tags, and they may overlap.
    """
    contents, found = bytes(exif).removeprefix(_EXIF), 1
    if contents[:4] not in _TIFF:
        return 1
    with contextlib.suppress(struct.error):  # truncated: the tags before are valid
        entries = itertools.islice(read_tiff_directory(contents), _MOST_EXIF_TAGS)
        for _, tag, kind, count, value in entries:
            (number,) = struct.unpack(f'{tiff_order(contents)}I', value)
            length = count * _TYPE_BYTES.get(kind, 0)
            if length > len(value) and number + length > len(contents):
                break
            if (tag, count) == (PIL.ExifTags.Base.Orientation, 1) and kind in (_SHORT, _LONG):
                (short,) = struct.unpack_from(f'{tiff_order(contents)}H', value)
                found = short if kind == _SHORT else number
    return found if found in range(2, 9) else 1
