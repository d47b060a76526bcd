"""Decodes, checks and converts images with TensorFlow and Pillow; runs in worker processes."""

import fcntl
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Literal

import numpy as np
import PIL.Image
import PIL.JpegImagePlugin
import PIL.PngImagePlugin

from common.errors import Rejected
from common.files import MEGABYTE
from common.orientation import read_orientation
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.conversion import to_rgb
from components.image_example_gen.inspection.limited_process import limit
from components.image_example_gen.inspection.magic_numbers import (
    has_heic,
    is_raw_photograph,
    unidentified,
)
from components.image_example_gen.inspection.measures import (
    GoodImage,
    measure,
    perceptual_hash,
    reduced,
    scale_for,
)

for _name in ('keras', 'pandas'):  # half of the time that the import takes
    sys.modules[_name] = None  # type: ignore[assignment]
import tensorflow as tf  # noqa: E402

_FORMATS = ('JPEG', 'PNG', 'GIF', 'WEBP', 'BMP', 'TIFF', 'AVIF', 'HEIF')
_TURNS = dict(enumerate((0, 3, 1, 5, 4, 6, 2), 2))  # of Pillow's Transpose, by orientation
_GRAY_OR_RGB_OF_8_BITS = (b'\x08\0', b'\x08\2')  # of a PNG, which may have a transparent colour

# CPU seconds and memory of an image besides its file; `_wait_for_turn` has those of others.
_SECONDS, _SECONDS_PER_MEGAPIXEL = 5, 0.4
_MEGABYTES, _MEGABYTES_PER_MEGAPIXEL, _MOST_MEGABYTES = 80, 14, 540
_HEADER_MEGABYTES = 260  # until the size of the picture is known
_SMALL, _MEDIUM = 4, 12  # megapixels
_turns = os.memfd_create('turns')
_warnings = 0  # a pipe of what decoders print on standard error


def prepare() -> None:
    """Makes this worker ready."""
    global _warnings
    warnings.simplefilter('ignore')
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    _warnings, writing = os.pipe()
    for each in (_warnings, writing):
        os.set_blocking(each, False)  # what does not fit into the pipe is lost
    os.dup2(writing, 2)
    PIL.Image.init()
    PIL.Image.MAX_IMAGE_PIXELS = None  # `CheckConfig` has the limit
    # Not as an MPO, several photographs of a camera in one file, whose directory may be damaged.
    PIL.Image.register_open(
        'JPEG', PIL.JpegImagePlugin.JpegImageFile, lambda start: start.startswith(b'\xff\xd8\xff')
    )
    PIL.PngImagePlugin.MAX_TEXT_CHUNK = PIL.PngImagePlugin.MAX_TEXT_MEMORY = 2**27
    if has_heic():
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
        pillow_heif.options.DECODE_THREADS = 1
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    tf.io.decode_png(_encoded(PIL.Image.new('RGB', (16, 16)), 'png'))


def outcomes(
    images: list[bytes | None], config: CheckConfig
) -> Iterator[GoodImage | Rejected | None]:
    """Yields the outcome of each image, without contents if they are to be kept; None for None."""
    for contents in images:
        outcome = None if contents is None else _outcome(contents, config)
        limit(None, None)  # for the answer
        fcntl.lockf(_turns, fcntl.LOCK_UN)
        yield outcome


def _outcome(contents: bytes, config: CheckConfig) -> GoodImage | Rejected:
    try:
        return _examine(contents, config)
    except Rejected as error:
        return error
    except (MemoryError, tf.errors.ResourceExhaustedError):
        return Rejected('too large', 'decoding it takes more memory than its size allows')
    except PIL.UnidentifiedImageError:
        return unidentified(contents)
    except Exception as error:
        # Decoders raise nearly any exception for damaged files (struct.error, zlib.error,
        # OverflowError, SystemError, ...).
        text = ' '.join(str(error).split())[:200]
        if re.search('truncated|end of file', text, re.IGNORECASE):
            return Rejected.truncated(contents)
        detail = f'decoding it failed with {type(error).__name__}: {text}'.removesuffix(': ')
        return Rejected('too large' if 'limit exceeded' in text else 'damaged', detail)


def _examine(contents: bytes, config: CheckConfig) -> GoodImage:
    config.check_bytes(contents)
    size = len(contents) / MEGABYTE
    _wait_for_turn(0)
    limit(_SECONDS, _HEADER_MEGABYTES + 2 * size)
    if is_raw_photograph(contents):  # in which Pillow may find a thumbnail
        raise unidentified(contents)
    with PIL.Image.open(io.BytesIO(contents), formats=_FORMATS) as image:
        config.check_size(*image.size)
        megapixels = image.width * image.height / 1e6
        memory = min(_MEGABYTES + _MEGABYTES_PER_MEGAPIXEL * megapixels, _MOST_MEGABYTES)
        limit(_SECONDS + _SECONDS_PER_MEGAPIXEL * megapixels, memory + 2 * size)
        _wait_for_turn(megapixels)
        return _decode(image, contents, config)


def _wait_for_turn(megapixels: float) -> None:
    """Waits until the memory of all workers allows for an image.

    Those of up to 4 megapixels are decoded together, two of up to 12, or a larger one alone.
    """
    fcntl.lockf(_turns, fcntl.LOCK_UN)
    place = os.getpid() % 2
    if megapixels > _MEDIUM:
        fcntl.lockf(_turns, fcntl.LOCK_EX, 2, 0)
    else:
        fcntl.lockf(_turns, fcntl.LOCK_SH if megapixels <= _SMALL else fcntl.LOCK_EX, 1, place)


def _decode(image: PIL.Image.Image, contents: bytes, config: CheckConfig) -> GoodImage:
    """Keeps an upright JPEG or PNG of 8-bit RGB or gray, and converts the others."""
    kind, name = image.format, _stored_format(image, contents)
    is_plain = kind == 'JPEG' and image.mode != 'CMYK'
    if kind == 'PNG':
        is_8_bit = contents[12:16] == b'IHDR' and contents[24:26] in _GRAY_OR_RGB_OF_8_BITS
        is_plain = is_8_bit and 'transparency' not in image.info
    orientation = 1  # Pillow turns a TIFF
    if kind != 'TIFF':
        is_read = kind in ('JPEG', 'PNG')
        orientation = read_orientation(contents if is_read else image.info.get('exif') or b'')
    if kind in ('JPEG', 'PNG'):  # also one of CMYK, as Pillow does not report a missing part
        channels = 4 if image.has_transparency_data else 3
        scale = 1 if is_plain and orientation != 1 else scale_for(*image.size)
        pixels = _decode_with_tensorflow(image, contents, channels, scale)
        if is_plain and orientation == 1:
            small = reduced(PIL.Image.fromarray(pixels))
            return GoodImage(b'', name, *image.size, measure(small), perceptual_hash(small))
        if is_plain or kind == 'PNG':
            image = PIL.Image.fromarray(pixels)
        del pixels
    converted = to_rgb(image)
    if orientation != 1:
        converted = converted.transpose(PIL.Image.Transpose(_TURNS[orientation]))
    contents = _encoded(converted, name)
    config.check_bytes(contents, 'converted, ')
    small, size = reduced(converted), converted.size
    return GoodImage(contents, name, *size, measure(small), perceptual_hash(small))


def _encoded(image: PIL.Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({'quality': 95, 'subsampling': 0} if kind == 'jpeg' else {}))
    return buffer.getvalue()


def _stored_format(image: PIL.Image.Image, contents: bytes) -> Literal['jpeg', 'png']:
    """JPEG for formats that are lossy."""
    codec = re.search(rb'VP8[ L]', contents) if image.format == 'WEBP' else None
    is_lossy = image.format in ('JPEG', 'AVIF', 'HEIF') or (codec and codec[0] == b'VP8 ')
    return 'jpeg' if is_lossy else 'png'


def _decode_with_tensorflow(
    image: PIL.Image.Image, contents: bytes, channels: int, scale: int = 1
) -> np.ndarray:
    """Decodes a JPEG or PNG with the decoder of training and serving: `[height, width, channels]`.

    A `scale` of 2, 4 or 8 decodes a JPEG at a half, a quarter or an eighth of its size. All of its
    data is still read; only the last step, the inverse DCT, is smaller.
    """
    end, scale = (b'\xff\xd9', scale) if image.format == 'JPEG' else (b'IEND', 1)
    _read_warnings()
    try:
        if image.format == 'JPEG':
            pixels = tf.io.decode_jpeg(
                tf.constant(contents), channels=channels, ratio=scale, acceptable_fraction=1.0
            )  # a float, as an integer takes a slower path
        else:
            pixels = tf.io.decode_png(contents, channels=channels)
    except tf.errors.InvalidArgumentError as error:
        if 'remature end' in _read_warnings() or end not in contents:
            raise Rejected.truncated(contents) from error
        raise Rejected('damaged', 'TensorFlow cannot decode its compressed data') from error
    if 'premature end' in _read_warnings():  # libjpeg fills the rest with gray
        raise Rejected.truncated(contents)
    if pixels.shape[:2] != (-(-image.height // scale), -(-image.width // scale)):
        raise Rejected('damaged', 'it holds two sizes that contradict each other')
    return np.asarray(memoryview(pixels))  # `numpy()` would copy them


def _read_warnings() -> str:
    try:
        return os.read(_warnings, 2**16).decode(errors='replace')
    except BlockingIOError:  # none
        return ''
