"""Checks one image by decoding it once, and measures the decoded pixels."""

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageOps
import PIL.TiffImagePlugin
import tensorflow as tf

from common.errors import Rejected
from common.files import MEGABYTE
from common.image_limits import DECODING_MEGABYTES, FULL_SCANS, MEGAPIXELS, SCANS
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.file_structure import (
    jpeg_without_metadata,
    png_without_metadata,
    read_gif,
    tiff_without_subdirectories,
)
from components.image_example_gen.inspection.headers import (
    MAX_PIXELS,
    Header,
    open_image,
    read_header,
)
from components.image_example_gen.inspection.heif import decode_heif
from components.image_example_gen.inspection.measures import (
    Measures,
    measure,
    perceptual_hash,
    reduced,
    scale_for,
)
from components.image_example_gen.inspection.memory_budget import MemoryBudget

_LONGEST_SIDE = 65_500  # pixels; the limit of libjpeg, which also encodes the converted images
_ROWS = 64  # of a transparent image that are put on white at once
_OPAQUE = {'RGB', 'L', '1', 'P', 'CMYK', 'YCbCr', 'RGBX'}
_TRANSPARENT = {'RGBA', 'LA', 'PA', 'La', 'RGBa'}
_TAG_BITS, _TAG_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0

# For decoding, and for records, in all threads; otherwise they would need gigabytes.
memory = MemoryBudget(DECODING_MEGABYTES * MEGABYTE)


@dataclass(frozen=True)
class GoodImage:
    """An image that TensorFlow decodes, and its measures."""

    contents: bytes  # for `tf.io.decode_image(channels=3)`; those of the file where possible
    format: Literal['jpeg', 'png']
    width: int  # upright
    height: int
    measures: Measures
    perceptual_hash: bytes


def examine(contents: bytes, config: CheckConfig) -> GoodImage:
    """Checks an image, and converts it if necessary. Thread-safe.

    Colour profiles are not applied, as TensorFlow does not apply them either.

    Raises:
        Rejected: the image is refused. No other exception is raised, whatever the bytes are.
    """
    try:
        if not contents:
            raise Rejected('empty', 'it has no bytes')
        _check_bytes(contents, config)
        header = read_header(contents)
        _check_header(header, config)
        with memory.reserved(header.decoding_bytes):
            return _decode(contents, header, config)
    except Rejected:
        raise
    except PIL.Image.DecompressionBombError as error:
        detail = f'its header says more than {_megapixels(MAX_PIXELS)}, the limit of Pillow'
        raise Rejected('too large', detail) from error
    except PIL.UnidentifiedImageError as error:
        raise Rejected('damaged', 'Pillow cannot read its header') from error
    except Exception as error:
        # Decoders raise nearly any exception for damaged files (struct.error, zlib.error,
        # MemoryError, OverflowError, SystemError, ...).
        text = ' '.join(str(error).split())[:200]
        if 'truncated' in text.lower():
            raise Rejected.truncated(contents) from error
        detail = f'decoding it failed with {type(error).__name__}: {text}'
        raise Rejected('damaged', detail.removesuffix(': ')) from error


def _check_bytes(contents: bytes, config: CheckConfig, when: str = '') -> None:
    if len(contents) > config.max_bytes:
        size = f'{len(contents) / MEGABYTE:,.1f} megabytes'
        raise Rejected('too large', f'{when}it has {size}, more than {config.max_megabytes:g}')


def _check_header(header: Header, config: CheckConfig) -> None:
    """Checks the size before a decoder allocates memory."""
    size = f'{header.width:,} by {header.height:,} pixels'
    shorter, longer = sorted((header.width, header.height))
    if not shorter:
        raise Rejected('damaged', f'its header says {size}')
    if shorter < config.min_side:
        raise Rejected('too small', f'it has {size}, and the shorter side needs {config.min_side}')
    most = min(config.max_megapixels * 1e6, MAX_PIXELS)
    if header.pixels > most:
        raise Rejected('too large', f'its header says {size}, more than {_megapixels(most)}')
    decoding = DECODING_MEGABYTES * max(1, config.max_megapixels / MEGAPIXELS)
    if header.decoding_bytes > decoding * MEGABYTE:
        needed = f'{header.decoding_bytes / MEGABYTE:,.0f} MB of memory, more than {decoding:,.0f}'
        raise Rejected('too large', f'it has {size}; decoding takes {needed}')
    if longer > _LONGEST_SIDE:
        raise Rejected('too large', f'it has {size}, and a side may have {_LONGEST_SIDE:,}')
    if header.scans > min(SCANS, FULL_SCANS * most / header.pixels):
        raise Rejected('too large', f'it has {header.scans:,} scans of {size}; decoding takes long')
    if header.frames > 1 and config.animated == 'refuse':
        raise Rejected('animated', f'it is animated, with {header.frames:,} frames')


def _megapixels(pixels: float) -> str:
    return f'{pixels / 1e6:,.5g} megapixels'


def _decode(contents: bytes, header: Header, config: CheckConfig) -> GoodImage:
    size = header.width, header.height
    if header.is_kept:
        if header.frames > 1:
            contents = png_without_metadata(contents)
        image = _decode_with_tensorflow(contents, header, scale_for(*size))
    else:
        if header.plain:
            image = _decode_with_tensorflow(contents, header, scale=1)
        elif header.format == 'AVIF' or header.format == 'HEIC':
            image = _to_rgb(decode_heif(contents, header.format, size))
        else:
            image = _decode_with_pillow(contents, header)
        image.info.clear()  # EXIF data, profiles and transparency, which Pillow would write again
        if header.orientation != 1:
            image.getexif()[PIL.ExifTags.Base.Orientation] = header.orientation
            image = PIL.ImageOps.exif_transpose(image)
        buffer = io.BytesIO()
        if header.lossy:
            image.save(buffer, 'JPEG', quality=95, subsampling=0)
        else:
            image.save(buffer, 'PNG')
        contents, size = buffer.getvalue(), image.size
        buffer.close()
        _check_bytes(contents, config, 'converted, ')
    small = reduced(image)
    image_format: Literal['jpeg', 'png'] = 'jpeg' if header.lossy else 'png'
    return GoodImage(contents, image_format, *size, measure(small), perceptual_hash(small))


def _decode_with_tensorflow(contents: bytes, header: Header, scale: int) -> PIL.Image.Image:
    """Decodes a plain JPEG or PNG to RGB with the decoder of training and serving.

    A `scale` of 2, 4 or 8 decodes a JPEG at a half, a quarter or an eighth of its size. All of its
    data is still read; only the last step, the inverse DCT, is smaller.
    """
    try:
        with tf.device('CPU:0'):
            if header.format == 'JPEG':
                pixels = tf.io.decode_jpeg(contents, channels=3, ratio=scale)
            else:
                pixels, scale = tf.io.decode_png(contents, channels=3), 1
    except tf.errors.InvalidArgumentError as error:
        raise Rejected('damaged', 'TensorFlow cannot decode its compressed data') from error
    if pixels.shape != (-(-header.height // scale), -(-header.width // scale), 3):
        raise Rejected('damaged', 'it holds two sizes that contradict each other')
    return PIL.Image.fromarray(np.asarray(memoryview(pixels)))  # `numpy()` would copy them


def _decode_with_pillow(contents: bytes, header: Header) -> PIL.Image.Image:
    """Decodes the first frame to RGB, on white where it is transparent."""
    if header.format == 'PNG':
        contents = png_without_metadata(contents)
    elif header.format == 'GIF':
        _, contents = read_gif(contents)
    elif header.format == 'JPEG':
        contents = jpeg_without_metadata(contents)
    elif header.format == 'TIFF':
        contents = tiff_without_subdirectories(contents)
    with open_image(contents, header.format) as image:
        image.load()
        if image.mode.startswith('I;16'):
            return _from_16_bits(image)
        return _to_rgb(image)


def _to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode in _TRANSPARENT or (image.mode in _OPAQUE and 'transparency' in image.info):
        white = PIL.Image.new('RGB', image.size, 'white')
        for top in range(0, image.height, _ROWS):  # a copy of the whole image would be a third one
            layer = image.crop((0, top, image.width, min(top + _ROWS, image.height)))
            layer = layer.convert('RGBA')
            white.paste(layer, (0, top), layer)
        return white
    if image.mode in _OPAQUE:
        return image.convert('RGB')
    detail = 'its pixels cannot be converted to RGB, such as floating-point numbers'
    raise Rejected('unsupported format', f'{detail} (mode {image.mode} of Pillow)')


def _from_16_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """The highest 8 bits of gray pixels. TIFFs may have 12 bits, or white as 0."""
    bits, negative = 16, False
    if isinstance(image, PIL.TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2[_TAG_BITS][0]
        negative = image.tag_v2.get(_TAG_PHOTOMETRIC) == _WHITE_IS_ZERO
    gray = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    return PIL.Image.fromarray(255 - gray if negative else gray).convert('RGB')
