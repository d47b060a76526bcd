"""Checks one image by decoding it once, and measures the decoded pixels."""

import contextlib
import threading
from dataclasses import dataclass
from typing import Literal

import PIL
import PIL.Image

from common.errors import Rejected
from common.files import MEGABYTE
from components.image_example_gen.inspection import decoding, png_chunks
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.headers import MAX_PIXELS, Header, read_header
from components.image_example_gen.inspection.magic_numbers import ImageFormat
from components.image_example_gen.inspection.measures import Measures, measure, reduced, scale_for
from components.image_example_gen.inspection.perceptual_hash import perceptual_hash

_STORED: dict[ImageFormat, Literal['jpeg', 'png']] = {'JPEG': 'jpeg', 'PNG': 'png'}
_LONGEST_SIDE = 65_500  # pixels; the limit of libjpeg, which also encodes the converted images

_LARGE = 8e6  # pixels
# The pixels of a converted image take 4 bytes in each of two or three copies. Threads decode one
# large image at a time, or they would need gigabytes.
_one_large_image = threading.Lock()


@dataclass(frozen=True)
class GoodImage:
    """An image that TensorFlow decodes, and its measures.

    Attributes:
        contents: a JPEG or PNG for `tf.io.decode_image(channels=3)`; the unchanged bytes of the
            file where possible.
        format: of the contents.
        width: of the contents, in pixels, after the EXIF orientation was applied.
        height: the same.
        measures: of its pixels.
        perceptual_hash: 32 bytes, see `perceptual_hash.perceptual_hash`.
        change: how the contents differ from the file, such as "CMYK to RGB"; None if the bytes are
            unchanged.
    """

    contents: bytes
    format: Literal['jpeg', 'png']
    width: int
    height: int
    measures: Measures
    perceptual_hash: bytes
    change: str | None = None


def examine(contents: bytes, config: CheckConfig) -> GoodImage:
    """Checks an image, and converts it if necessary. Thread-safe.

    Colour profiles are not applied, as TensorFlow does not apply them either.

    Args:
        contents: the bytes of any file.
        config: the limits.

    Raises:
        Rejected: the image is refused. No other exception is raised.
    """
    try:
        return _examine(contents, config)
    except Rejected:
        raise
    except Exception as error:
        # Decoders raise nearly any exception for damaged files (struct.error, zlib.error,
        # MemoryError, OverflowError, SystemError, ...).
        raise _rejected(error, contents) from error


def _examine(contents: bytes, config: CheckConfig) -> GoodImage:
    _check_bytes(contents, config)
    header = read_header(contents)
    _check_size(header, config)
    if header.frames > 1 and config.animated == 'refuse':
        raise Rejected('animated', f'it is animated, with {header.frames:,} frames')
    if header.format == 'PNG' and header.frames > 1:
        contents = png_chunks.without_metadata(contents)
    with _one_large_image if _is_large(header) else contextlib.nullcontext():
        return _decode(contents, header)


def _decode(contents: bytes, header: Header) -> GoodImage:
    if _is_kept(header):
        scale = scale_for(header.width, header.height)
        image = decoding.decode_with_tensorflow(contents, header, scale)
        stored, size = (contents, _STORED[header.format]), (header.width, header.height)
    else:
        image = (
            decoding.decode_with_tensorflow(contents, header, 1)
            if header.format in _STORED and header.colours is None
            else decoding.decode_with_pillow(contents, header)
        )
        if header.orientation != 1:
            image = decoding.turn_upright(image, header.orientation)
        stored, size = decoding.encode(image, header.lossy), image.size
    small = reduced(image)
    change = _change(header, stored[1])
    return GoodImage(*stored, *size, measure(small), perceptual_hash(small), change)


def _is_kept(header: Header) -> bool:
    """Whether the pixels are stored as they are."""
    return header.format in _STORED and header.colours is None and header.orientation == 1


def _is_large(header: Header) -> bool:
    """Whether decoding takes so much memory that only one such image is decoded at a time.

    A JPEG that is kept is decoded at an eighth of its size. Only its coefficients are as large as
    the image, and only if it is progressive. Photographs of 24 megapixels do not wait.
    """
    jpeg = header.format == 'JPEG' and _is_kept(header)
    return header.pixels > (4 * _LARGE if jpeg else _LARGE)


def _check_bytes(contents: bytes, config: CheckConfig) -> None:
    if not contents:
        raise Rejected('empty', 'it has no bytes')
    if len(contents) > config.max_bytes:
        megabytes = len(contents) / MEGABYTE
        detail = f'it has {megabytes:,.1f} megabytes, more than {config.max_megabytes:g}'
        raise Rejected('too large', detail)


def _check_size(header: Header, config: CheckConfig) -> None:
    """Checks the size before a decoder allocates memory."""
    size = f'{header.width:,} by {header.height:,} pixels'
    shorter, longer = sorted((header.width, header.height))
    if not shorter:
        raise Rejected('damaged', f'its header says {size}')
    if shorter < config.min_side:
        detail = f'it has {size}, and the shorter side needs {config.min_side}'
        raise Rejected('too small', detail)
    most = min(config.max_megapixels * 1e6, MAX_PIXELS)
    if header.pixels > most:
        raise Rejected('too large', f'its header says {size}, more than {_megapixels(most)}')
    if longer > _LONGEST_SIDE:
        detail = f'its header says {size}, and a side may have {_LONGEST_SIDE:,}'
        raise Rejected('too large', detail)


def _change(header: Header, stored: str) -> str | None:
    """Describes how the stored image differs from the file."""
    changes = []
    if header.format not in _STORED:
        changes.append(f'{header.format} to {stored.upper()}')
    if header.colours == 'transparency':
        changes.append('transparent parts to white')
    elif header.colours is not None:
        changes.append(f'{header.colours} to RGB')
    if header.frames > 1:
        changes.append(f'first of {header.frames:,} frames')
    if header.orientation != 1:
        changes.append('turned as EXIF says')
    return ', '.join(changes) or None


def _rejected(error: Exception, contents: bytes) -> Rejected:
    """Converts the exception of a decoder."""
    if isinstance(error, PIL.Image.DecompressionBombError):
        most = _megapixels(2 * (PIL.Image.MAX_IMAGE_PIXELS or 0))
        return Rejected('too large', f'its header says more than {most}, the limit of Pillow')
    if isinstance(error, PIL.UnidentifiedImageError):
        return Rejected('damaged', 'Pillow cannot read its header')
    words = ' '.join(str(error).split())[:200]
    if 'truncated' in words.lower():
        return Rejected.truncated(contents)
    name = type(error).__name__
    return Rejected('damaged', f'decoding it failed with {name}{": " * bool(words)}{words}')


def _megapixels(pixels: float) -> str:
    return f'{pixels / 1e6:,.5g} megapixels'
