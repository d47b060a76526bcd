"""Preprocessing of images for training, evaluation and serving."""

import functools
from typing import Any

import tensorflow as tf

from common import features
from trainer.config.train import Resize
from trainer.orientation import JPEG, PNG, turn_upright

# Images whose longer side is at least this many times the target size are antialiased, which costs
# time and makes little difference to smaller ones.
LARGE = 6
_SCALES = (1, 2, 4, 8)  # divisors of the size that the inverse DCT of the JPEG decoder offers
_COLOURS = 25  # position of the colour type in a PNG
_WITH_ALPHA = (b'\4', b'\6')  # gray and RGB


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """`preprocessing_fn` of the Transform component: images of size `image_size`, and labels."""
    encoded = inputs[features.IMAGE_BYTES].values  # sparse, one value per example
    size, resize = custom_config['image_size'], custom_config['resize']
    return {
        features.IMAGE_XF: decode_and_resize(encoded, size, resize),
        features.LABEL_XF: inputs[features.LABEL],
    }


def decode_and_resize(encoded: tf.Tensor, size: int, resize: Resize) -> tf.Tensor:
    """Decodes JPEG or PNG bytes, string [batch], to float32 [batch, size, size, 3] in 0..255.

    Applies EXIF orientation, and composites transparency on white. Values are rounded to integers,
    so that a uint8 cache is lossless. `resize` says how an image becomes square: 'squeeze' does not
    preserve its aspect ratio, 'crop' takes its centre, 'pad' adds black. Interpolation is bilinear,
    with antialiasing if the longer side of an image is at least LARGE times `size`.
    """

    def one_image(contents: tf.Tensor) -> tf.Tensor:
        is_jpeg, is_png = (
            tf.strings.substr(contents, 0, len(magic)) == magic for magic in (JPEG, PNG)
        )

        def other() -> tf.Tensor:
            transparent = tf.cond(is_png, lambda: _is_transparent(contents), lambda: False)
            pixels = tf.cond(
                transparent, lambda: _decode_on_white(contents), lambda: _decode(contents)
            )
            return tf.cond(
                tf.reduce_max(tf.shape(pixels)) >= LARGE * size,
                lambda: _fit(pixels, size, resize, antialias=True),
                lambda: _fit(pixels, size, resize, antialias=False),
            )

        image = tf.cond(is_jpeg, lambda: _decode_and_resize_jpeg(contents, size, resize), other)
        image = tf.ensure_shape(image, (size, size, 3))
        return tf.cond(is_jpeg | is_png, lambda: turn_upright(image, contents), lambda: image)

    images = tf.map_fn(
        one_image, encoded, fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32)
    )
    return tf.round(tf.clip_by_value(images, 0.0, 255.0))


def _is_transparent(contents: tf.Tensor) -> tf.Tensor:
    """Whether a PNG has an alpha channel or a transparent colour, bool []."""
    has_alpha = tf.reduce_any(tf.strings.substr(contents, _COLOURS, 1) == _WITH_ALPHA)
    return has_alpha | (tf.size(tf.strings.split(contents, b'tRNS', maxsplit=1)) > 1)


def _decode(contents: tf.Tensor) -> tf.Tensor:
    """Decodes an image to uint8 [height, width, 3]."""
    return tf.io.decode_image(contents, channels=3, expand_animations=False)


def _decode_on_white(contents: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG to uint8 [height, width, 3], composited on white."""
    pixels = tf.cast(tf.io.decode_png(contents, channels=4), tf.float32)
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    return tf.cast(tf.round((colours * alpha + 255 * (255 - alpha)) / 255), tf.uint8)


def _fit(pixels: tf.Tensor, size: int, resize: Resize, *, antialias: bool) -> tf.Tensor:
    """Resizes uint8 [height, width, 3] to float32 [size, size, 3].

    Crops and pads equally on both sides, so that the result does not depend on the orientation of a
    file; the cut image may have a side that is one pixel longer. Pads after resizing: a square of
    the longer side may need a thousand times the memory of the image.
    """
    sides = tf.shape(pixels)[:2]
    target = tf.constant((size, size))
    if resize == 'crop':
        cut = (sides - tf.reduce_min(sides)) // 2
        pixels = pixels[cut[0] : sides[0] - cut[0], cut[1] : sides[1] - cut[1]]
    if resize == 'pad':
        side = size * sides / tf.reduce_max(sides)
        added = tf.cast(tf.round((size - side) / 2), tf.int32)
        added = tf.minimum(added, (size - 1) // 2)
        resized = tf.image.resize(pixels, target - 2 * added, antialias=antialias)
        return tf.pad(resized, [[added[0], added[0]], [added[1], added[1]], [0, 0]])
    return tf.image.resize(pixels, target, antialias=antialias)


def _decode_and_resize_jpeg(contents: tf.Tensor, size: int, resize: Resize) -> tf.Tensor:
    """Decodes a JPEG and resizes it to float32 [size, size, 3].

    A large one is decoded at a half, a quarter or an eighth of its size, which averages pixels and
    is faster. Its shorter side keeps at least `size` pixels.
    """
    shape = tf.io.extract_jpeg_shape(contents)[:2]
    large = tf.reduce_max(shape) >= LARGE * size
    fits = tf.reduce_min(shape) >= [size * scale for scale in _SCALES[1:]]
    largest = tf.reduce_sum(tf.cast(fits, tf.int32))

    def reduced(scale: int) -> tf.Tensor:
        pixels = tf.io.decode_jpeg(contents, channels=3, ratio=scale)
        return _fit(pixels, size, resize, antialias=True)

    def plain() -> tf.Tensor:
        pixels = tf.io.decode_jpeg(contents, channels=3)
        return _fit(pixels, size, resize, antialias=False)

    branches = [functools.partial(reduced, scale) for scale in _SCALES]
    return tf.switch_case(tf.where(large, largest, len(_SCALES)), [*branches, plain])
