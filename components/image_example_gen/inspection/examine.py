"""Whether one image can be used: it is really decoded, once, and measured on the way."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import PIL.Image

from common.errors import Rejected
from common.files import MEGABYTE
from components.image_example_gen.inspection import decoding
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.formats import bmp, exif, gif, jpeg, png, tiff, webp
from components.image_example_gen.inspection.formats.header import Header, truncated
from components.image_example_gen.inspection.formats.kinds import Kind, kind_of
from components.image_example_gen.inspection.measures import Measures, measure, reduced, scale_for
from components.image_example_gen.inspection.perceptual_hash import perceptual_hash

__all__ = ['GoodImage', 'Rejected', 'examine']

_HEADERS: dict[Kind, Callable[[bytes], Header]] = {
    'JPEG': jpeg.read_header,
    'PNG': png.read_header,
    'GIF': gif.read_header,
    'WebP': webp.read_header,
    'BMP': bmp.read_header,
    'TIFF': tiff.read_header,
}
_KEPT: dict[Kind, Literal['jpeg', 'png']] = {'JPEG': 'jpeg', 'PNG': 'png'}
_LONGEST_SIDE = 65_500  # libjpeg's limit, and that of what is written here
_MOST_PIXELS = (2**29 - 1) // 3  # TensorFlow decodes fewer than 2**29 values

_LARGE = 8e6  # pixels
# Pixels of an image in colours that are not kept take 4 bytes in each of two or three copies. A few
# threads that each hold a large one would need gigabytes; small ones do not wait for it.
_one_large_image = threading.Lock()


@dataclass(frozen=True)
class GoodImage:
    """An image that TensorFlow decodes, and what was learnt from decoding it.

    Attributes:
        contents: a JPEG or PNG for `tf.io.decode_image(channels=3)`; the bytes as they came where
            that was possible.
        format: of the contents.
        width: in pixels, of the contents; a turned photograph has been turned upright.
        height: the same.
        measures: of its pixels.
        perceptual_hash: 32 bytes, as `perceptual_hash.perceptual_hash` gives them.
        change: what was done to it, such as "CMYK to RGB"; None if the bytes are those that came.
    """

    contents: bytes
    format: Literal['jpeg', 'png']
    width: int
    height: int
    measures: Measures
    perceptual_hash: bytes
    change: str | None = None


def examine(contents: bytes, config: CheckConfig) -> GoodImage:
    """Checks an image and gives what is kept of it. May be called by several threads at once.

    Colours are taken as numbers: profiles are not applied, for TensorFlow does not either.

    Args:
        contents: the bytes of a file, whatever they are.
        config: the limits.

    Raises:
        Rejected: it cannot be used; no other exception leaves this function.
    """
    try:
        return _examine(contents, config)
    except Rejected:
        raise
    except Exception as error:
        # Decoders raise nearly anything on damaged files (struct.error, zlib.error, MemoryError,
        # OverflowError, SystemError, ...), and one image must not end a run of a million.
        raise _failure(error, contents) from error


def _examine(contents: bytes, config: CheckConfig) -> GoodImage:
    _check_bytes(contents, config)
    kind = kind_of(contents)
    header = _HEADERS[kind](contents)
    _check_size(header, kind, config)
    if not header.whole:
        raise truncated(contents)
    if header.frames > 1 and config.animated == 'refuse':
        raise Rejected('animated', f'it is animated, with {header.frames:,} frames')
    if kind == 'PNG':
        png.check(contents)
        if header.frames > 1:
            contents = png.without_metadata(contents)
    with _one_large_image if _is_large(header, kind) else contextlib.nullcontext():
        return _decoded(contents, kind, header)


def _decoded(contents: bytes, kind: Kind, header: Header) -> GoodImage:
    if _is_kept(header, kind):
        scale = scale_for(header.width, header.height)
        image = decoding.with_tensorflow(contents, kind, header, scale)
        kept, size = (contents, _KEPT[kind]), (header.width, header.height)
    else:
        image = (
            decoding.with_tensorflow(contents, kind, header, 1)
            if kind in _KEPT and header.colours is None
            else decoding.with_pillow(contents, kind)
        )
        image = exif.upright(image, header.orientation)
        kept, size = decoding.encode(image, header.lossy), image.size
    small = reduced(image)
    change = _change(kind, kept[1], header)
    return GoodImage(*kept, *size, measure(small), perceptual_hash(small), change)


def _is_kept(header: Header, kind: Kind) -> bool:
    """Whether its bytes stay as they are."""
    return kind in _KEPT and header.colours is None and header.orientation == 1


def _is_large(header: Header, kind: Kind) -> bool:
    """Whether decoding it takes so much memory that it waits for other large ones.

    A JPEG whose bytes are kept is decoded in an eighth of its size. Its coefficients are all that
    is as large as it, and only where it is progressive; photographs of 24 megapixels do not wait.
    """
    pixels = header.width * header.height
    return pixels > (4 * _LARGE if kind == 'JPEG' and _is_kept(header, kind) else _LARGE)


def _check_bytes(contents: bytes, config: CheckConfig) -> None:
    if not contents:
        raise Rejected('empty', 'it has no bytes')
    if len(contents) > config.max_bytes:
        megabytes = len(contents) / MEGABYTE
        detail = f'it has {megabytes:,.1f} megabytes, more than {config.max_megabytes:g}'
        raise Rejected('too large', detail)


def _check_size(header: Header, kind: Kind, config: CheckConfig) -> None:
    """Before any decoder reserves memory."""
    size = f'{header.width:,} by {header.height:,} pixels'
    shorter, longer = sorted((header.width, header.height))
    if not shorter:
        raise Rejected('damaged', f'its header says {size}')
    if shorter < config.min_side:
        detail = f'it has {size}, and the shorter side needs {config.min_side}'
        raise Rejected('too small', detail)
    most = min(config.max_megapixels * 1e6, _MOST_PIXELS)
    if kind in ('GIF', 'TIFF'):  # where Pillow applies its own limit wherever it is used
        most = min(most, PIL.Image.MAX_IMAGE_PIXELS or most)
    if shorter * longer > most:
        detail = f'its header says {size}, more than {most / 1e6:,.5g} megapixels'
        raise Rejected('too large', detail)
    if longer > _LONGEST_SIDE:
        raise Rejected(
            'too large', f'its header says {size}, and a side may have {_LONGEST_SIDE:,}'
        )


def _change(kind: Kind, written: str, header: Header) -> str | None:
    """What was done to an image, for a person."""
    changes = []
    if kind not in _KEPT:
        changes.append(f'{kind} to {written.upper()}')
    if header.colours == 'transparency':
        changes.append('transparent parts to white')
    elif header.colours is not None and kind in _KEPT:
        changes.append(f'{header.colours} to RGB')
    if header.frames > 1:
        changes.append(f'first of {header.frames:,} frames')
    if header.orientation != 1:
        changes.append('turned as EXIF says')
    return ', '.join(changes) or None


def _failure(error: Exception, contents: bytes) -> Rejected:
    """What a decoder that failed had to say."""
    words = ' '.join(str(error).split())[:200]
    if 'truncated' in words.lower():
        return truncated(contents)
    name = type(error).__name__
    return Rejected('damaged', f'decoding it failed with {name}{": " * bool(words)}{words}')
