"""Decodes images to RGB pixels, and encodes those whose bytes cannot be kept."""

import io
from typing import Literal

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageOps
import PIL.TiffImagePlugin
import tensorflow as tf

from common.errors import Rejected
from components.image_example_gen.inspection import png_chunks
from components.image_example_gen.inspection.headers import Header, open_image

_OPAQUE = {'RGB', 'L', '1', 'P', 'CMYK', 'YCbCr', 'RGBX'}
_TRANSPARENT = {'RGBA', 'LA', 'PA', 'La', 'RGBa'}
_TAG_BITS, _TAG_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


def decode_with_tensorflow(contents: bytes, header: Header, scale: int) -> PIL.Image.Image:
    """Decodes a JPEG or PNG to RGB with the decoder of training and serving.

    Args:
        contents: the bytes of the file.
        header: of a JPEG or PNG.
        scale: 2, 4 or 8 to decode a JPEG at a half, a quarter or an eighth of its size. All of the
            compressed data is still decoded; only the last step, the inverse DCT, is smaller.

    Raises:
        Rejected: TensorFlow cannot decode it.
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


def decode_with_pillow(contents: bytes, header: Header) -> PIL.Image.Image:
    """Decodes the first frame to RGB, on white where it is transparent.

    Raises:
        Rejected: its pixels cannot be converted to RGB, such as floating-point numbers.
        Exception: almost any, raised by Pillow for a damaged file.
    """
    if header.format == 'PNG':
        contents = png_chunks.without_metadata(contents)
    with open_image(contents, header.format) as image:
        image.load()
        return _to_rgb(image)


def turn_upright(image: PIL.Image.Image, orientation: int) -> PIL.Image.Image:
    """Applies an EXIF orientation of 2 to 8."""
    image.info.clear()  # EXIF data of the file, which Pillow would write into the result
    image.getexif()[PIL.ExifTags.Base.Orientation] = orientation
    return PIL.ImageOps.exif_transpose(image)


def encode(image: PIL.Image.Image, lossy: bool) -> tuple[bytes, Literal['jpeg', 'png']]:
    """Encodes an RGB image: as JPEG of high quality if it was lossy before, else as PNG."""
    image.info.clear()  # profiles and transparency that Pillow would write again
    buffer = io.BytesIO()
    if lossy:
        image.save(buffer, 'JPEG', quality=95, subsampling=0)
        return buffer.getvalue(), 'jpeg'
    image.save(buffer, 'PNG')
    return buffer.getvalue(), 'png'


def _to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode.startswith('I;16'):
        return _from_16_bits(image)
    if image.mode in _TRANSPARENT or (image.mode in _OPAQUE and 'transparency' in image.info):
        layer = image if image.mode == 'RGBA' else image.convert('RGBA')
        white = PIL.Image.new('RGB', layer.size, 'white')
        white.paste(layer, mask=layer)  # `alpha_composite` needs two copies more
        return white
    if image.mode in _OPAQUE:
        return image.convert('RGB')
    detail = 'its pixels cannot be converted to RGB, such as floating-point numbers'
    raise Rejected('unsupported format', f'{detail} (mode {image.mode} of Pillow)')


def _from_16_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """The highest 8 bits of gray pixels, as decoders of PNG take them.

    TIFFs may have 12 bits, or white as 0, which Pillow ignores.
    """
    bits, negative = 16, False
    if isinstance(image, PIL.TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2[_TAG_BITS][0]
        negative = image.tag_v2.get(_TAG_PHOTOMETRIC) == _WHITE_IS_ZERO
    gray = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    return PIL.Image.fromarray(255 - gray if negative else gray).convert('RGB')
