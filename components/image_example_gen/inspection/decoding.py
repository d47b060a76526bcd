"""Decodes images to RGB pixels."""

import numpy as np
import PIL.Image
import PIL.TiffImagePlugin
import tensorflow as tf

from common.errors import Rejected
from components.image_example_gen.inspection.file_structure import without_metadata
from components.image_example_gen.inspection.headers import Header, open_image

_OPAQUE = {'RGB', 'L', '1', 'P', 'CMYK', 'YCbCr', 'RGBX'}
_TRANSPARENT = {'RGBA', 'LA', 'PA', 'La', 'RGBa'}
_TAG_BITS, _TAG_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


def decode_with_tensorflow(contents: bytes, header: Header, scale: int) -> PIL.Image.Image:
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


def decode_with_pillow(contents: bytes, header: Header) -> PIL.Image.Image:
    """Decodes the first frame to RGB, on white where it is transparent.

    Raises:
        Exception: almost any, raised by Pillow for a damaged file.
    """
    if header.format == 'PNG':
        contents = without_metadata(contents)
    with open_image(contents, header.format) as image:
        image.load()
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
