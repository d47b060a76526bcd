"""From the bytes of an image file to pixels, and back where the bytes cannot be kept."""

import io
from collections.abc import Callable
from typing import Literal

import numpy as np
import PIL.BmpImagePlugin
import PIL.GifImagePlugin
import PIL.Image
import PIL.ImageFile
import PIL.JpegImagePlugin
import PIL.PngImagePlugin
import PIL.TiffImagePlugin
import PIL.WebPImagePlugin
import tensorflow as tf

from common.errors import Rejected
from components.image_example_gen.inspection.formats import jpeg, png, tiff
from components.image_example_gen.inspection.formats.header import Header
from components.image_example_gen.inspection.formats.kinds import Kind

# Not PIL.Image.open: it warns of images above a size of its own and of odd additions of phones, and
# warnings can only be silenced for all threads.
_READERS: dict[Kind, Callable[[io.BytesIO], PIL.ImageFile.ImageFile]] = {
    'JPEG': PIL.JpegImagePlugin.JpegImageFile,
    'PNG': PIL.PngImagePlugin.PngImageFile,
    'GIF': PIL.GifImagePlugin.GifImageFile,
    'WebP': PIL.WebPImagePlugin.WebPImageFile,
    'BMP': PIL.BmpImagePlugin.BmpImageFile,
    'TIFF': PIL.TiffImagePlugin.TiffImageFile,
}
_PICTURE_ONLY: dict[Kind, Callable[[bytes], bytes]] = {
    'JPEG': jpeg.without_metadata,
    'PNG': png.without_metadata,
    'TIFF': tiff.without_metadata,
}
_OPAQUE = {'RGB', 'L', '1', 'P', 'CMYK', 'YCbCr', 'RGBX'}
_TRANSPARENT = {'RGBA', 'LA', 'PA', 'La', 'RGBa'}
_TAG_BITS, _TAG_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


def with_tensorflow(contents: bytes, kind: Kind, header: Header, scale: int) -> PIL.Image.Image:
    """The RGB pixels of a JPEG or PNG, decoded as training and serving will decode them.

    Args:
        contents: all bytes of it.
        kind: JPEG or PNG.
        header: what was read of it.
        scale: 2, 4 or 8 to get a JPEG in a half, a quarter or an eighth of its size. All of it is
            decoded, but for the last step, the inverse DCT, which is smaller and cannot fail.

    Raises:
        Rejected: TensorFlow cannot decode it.
    """
    try:
        with tf.device('CPU:0'):
            if kind == 'JPEG':
                pixels = tf.io.decode_jpeg(contents, channels=3, ratio=scale)
            else:
                pixels, scale = tf.io.decode_png(contents, channels=3), 1
    except tf.errors.InvalidArgumentError as error:
        raise Rejected('damaged', 'TensorFlow cannot decode its compressed data') from error
    if pixels.shape != (-(-header.height // scale), -(-header.width // scale), 3):
        raise Rejected('damaged', 'it holds two sizes that contradict each other')
    return PIL.Image.fromarray(np.asarray(memoryview(pixels)))  # `numpy()` would copy them


def with_pillow(contents: bytes, kind: Kind) -> PIL.Image.Image:
    """The pixels of the first frame as RGB, on white where it is transparent.

    Raises:
        Rejected: it has colours that are not taken.
        Exception: almost any, if it is damaged.
    """
    prepare = _PICTURE_ONLY.get(kind)
    with _READERS[kind](io.BytesIO(prepare(contents) if prepare else contents)) as image:
        image.load()
        return _to_rgb(image)


def encode(image: PIL.Image.Image, lossy: bool) -> tuple[bytes, Literal['jpeg', 'png']]:
    """Writes an RGB image: as JPEG if it was lossy before, with little more loss; else as PNG."""
    image.info.clear()  # profiles and transparency that Pillow would write again
    buffer = io.BytesIO()
    if lossy:
        image.save(buffer, 'JPEG', quality=95, subsampling=0)
        return buffer.getvalue(), 'jpeg'
    image.save(buffer, 'PNG')
    return buffer.getvalue(), 'png'


def _to_rgb(image: PIL.ImageFile.ImageFile) -> PIL.Image.Image:
    if image.mode.startswith('I;16'):
        return _from_16_bits(image)
    if image.mode in _TRANSPARENT or (image.mode in _OPAQUE and 'transparency' in image.info):
        layer = image if image.mode == 'RGBA' else image.convert('RGBA')
        white = PIL.Image.new('RGB', layer.size, 'white')
        white.paste(layer, mask=layer)  # `alpha_composite` needs two copies more
        return white
    if image.mode in _OPAQUE:
        return image.convert('RGB')
    detail = 'its pixels are of a kind that is not taken, such as floating-point numbers'
    raise Rejected('unsupported format', f'{detail} (mode {image.mode} of Pillow)')


def _from_16_bits(image: PIL.ImageFile.ImageFile) -> PIL.Image.Image:
    """The highest 8 bits of gray pixels, as decoders of PNG take them.

    TIFFs may have 12 bits, or white as 0, of which Pillow takes no notice.
    """
    bits, negative = 16, False
    if isinstance(image, PIL.TiffImagePlugin.TiffImageFile):
        bits = image.tag_v2[_TAG_BITS][0]
        negative = image.tag_v2.get(_TAG_PHOTOMETRIC) == _WHITE_IS_ZERO
    gray = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    return PIL.Image.fromarray(255 - gray if negative else gray).convert('RGB')
