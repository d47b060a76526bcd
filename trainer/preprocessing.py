"""Preprocessing of images for training, evaluation and serving."""

import functools
from typing import Any

import tensorflow as tf

from common import features
from trainer.orientation import JPEG, PNG, contains, turn_upright

# Images whose longer side is at least this many times the target size are antialiased, which costs
# time and makes little difference to smaller ones.
LARGE = 6
_SCALES = (1, 2, 4, 8)  # divisors of the size that the inverse DCT of the JPEG decoder offers
_OTHER, _JPEG, _TRANSPARENT = range(3)  # decoders
_PNG_HEADER, _COLOURS = 26, 25  # bytes; position of the colour type
_GRAY_WITH_ALPHA, _RGB_WITH_ALPHA = 4, 6


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """`preprocessing_fn` of the Transform component: images of size `image_size`, and labels."""
    encoded = inputs[features.IMAGE_BYTES].values  # sparse, one value per example
    return {
        features.IMAGE_XF: decode_and_resize(encoded, custom_config['image_size']),
        features.LABEL_XF: inputs[features.LABEL],
    }


def decode_and_resize(encoded: tf.Tensor, size: int) -> tf.Tensor:
    """Decodes JPEG or PNG bytes, string [batch], to float32 [batch, size, size, 3] in 0..255.

    Applies EXIF orientation, and composites transparency on white. Values are rounded to integers,
    so that a uint8 cache is lossless. The aspect ratio is not preserved, as in
    `keras.utils.image_dataset_from_directory`. Interpolation is bilinear, with antialiasing if the
    longer side of an image is at least LARGE times `size`.
    """

    def one_image(image: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        contents, decoder = image
        return tf.switch_case(
            decoder,
            {
                _OTHER: lambda: _resize(_decode(contents), size),
                _JPEG: lambda: _decode_and_resize_jpeg(contents, size),
                _TRANSPARENT: lambda: _resize(_decode_on_white(contents), size),
            },
        )

    images = tf.map_fn(
        one_image,
        (encoded, _choose_decoders(encoded)),
        fn_output_signature=tf.TensorSpec((size, size, 3), tf.float32),
    )
    return tf.round(tf.clip_by_value(turn_upright(images, encoded), 0.0, 255.0))


def _choose_decoders(encoded: tf.Tensor) -> tf.Tensor:
    """Returns _JPEG, _TRANSPARENT or _OTHER for each file, int32 [batch]."""
    jpeg, png = (tf.strings.substr(encoded, 0, len(magic)) == magic for magic in (JPEG, PNG))

    def transparent() -> tf.Tensor:
        start = tf.strings.substr(encoded, 0, _PNG_HEADER)
        header = tf.io.decode_raw(start, tf.uint8, fixed_length=_PNG_HEADER)
        colours = header[:, _COLOURS]
        with_alpha = (colours == _GRAY_WITH_ALPHA) | (colours == _RGB_WITH_ALPHA)
        return png & (with_alpha | contains(encoded, b'tRNS'))

    png_transparent = tf.cond(tf.reduce_any(png), transparent, lambda: png)
    return tf.where(jpeg, _JPEG, tf.where(png_transparent, _TRANSPARENT, _OTHER))


def _decode(contents: tf.Tensor) -> tf.Tensor:
    """Decodes an image to uint8 [height, width, 3]."""
    return tf.io.decode_image(contents, channels=3, expand_animations=False)


def _decode_on_white(contents: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG to uint8 [height, width, 3], composited on white."""
    pixels = tf.cast(tf.io.decode_png(contents, channels=4), tf.float32)
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    return tf.cast(tf.round((colours * alpha + 255 * (255 - alpha)) / 255), tf.uint8)


def _resize(pixels: tf.Tensor, size: int) -> tf.Tensor:
    """Resizes uint8 [height, width, 3] to float32 [size, size, 3]."""
    return tf.cond(
        tf.reduce_max(tf.shape(pixels)) >= LARGE * size,
        lambda: tf.image.resize(pixels, (size, size), antialias=True),
        lambda: tf.image.resize(pixels, (size, size)),
    )


def _decode_and_resize_jpeg(contents: tf.Tensor, size: int) -> tf.Tensor:
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
        return tf.image.resize(pixels, (size, size), antialias=True)

    def plain() -> tf.Tensor:
        return tf.image.resize(tf.io.decode_jpeg(contents, channels=3), (size, size))

    branches = [functools.partial(reduced, scale) for scale in _SCALES]
    return tf.switch_case(tf.where(large, largest, len(_SCALES)), [*branches, plain])
