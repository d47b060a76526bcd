"""Checks JPEG and PNG files with TensorFlow operations, inside the serving graph.

These checks run before decoding and follow the rules of ingestion: they reject other formats,
truncated files, of which TensorFlow decodes some, and files that take too long to decode. Ingestion
decodes in worker processes with limits of memory and CPU time instead.
"""

import tensorflow as tf

from trainer.orientation import JPEG, PNG

# Each scan of a JPEG visits all pixels again: about 0.7 ms per megapixel. Encoders write up to 20
# scans in progressive files, and many images of the largest size have at most 10.
_SCANS = 100
_FULL_SCANS = 16  # limit of an image of the largest size; inversely proportional to the pixels
# Compressed texts and profiles of a PNG: libpng decompresses up to 8 MB of each.
_COMPRESSED_TEXTS = 20
_SCAN_START = b'\xff\xda\0'  # as in ingestion, the marker and a byte of its length
_JPEG_END = b'\xff\xd9'
_PNG_SIDES = 16  # position of width and height
_PNG_COMPRESSED = (b'zTXt', b'iTXt', b'iCCP')
_PNG_END = b'\0\0\0\0IEND\xaeB`\x82'  # the empty last chunk: length, name and checksum
# A PNG of one white pixel, decoded in place of a rejected image.
PIXEL = (
    b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU'
    b'\0\0\0\nIDATx\xdac\xf8\x0f\0\1\1\1\0\x1c\xb0\x8c\x99\0\0\0\0IEND\xaeB`\x82'
)


def is_decodable(contents: tf.Tensor, max_megapixels: float) -> tf.Tensor:
    """Whether a JPEG or PNG is complete and within the limits, bool [] from string [].

    Not more than `max_megapixels`, and the scans or compressed texts of this module. Ignores bytes
    after the end of the image. Fails, as a decoder does, if the header is damaged.
    """
    most = int(max_megapixels * 1e6)
    png, jpeg = (tf.strings.substr(contents, 0, len(magic)) == magic for magic in (PNG, JPEG))
    return tf.case(
        [
            (png, lambda: _is_decodable_png(contents, most)),
            (jpeg, lambda: _is_decodable_jpeg(contents, most)),
        ],
        default=lambda: tf.constant(False),
    )


def _is_decodable_png(contents: tf.Tensor, most: int) -> tf.Tensor:
    header = tf.strings.substr(contents, 0, _PNG_SIDES + 8) + b'\0' * (_PNG_SIDES + 8)
    sides = tf.strings.substr(header, _PNG_SIDES, 8)
    sides = tf.reshape(tf.io.decode_raw(sides, tf.int32, little_endian=False), [2])
    pixels = tf.reduce_prod(tf.cast(sides, tf.int64))
    texts = sum(_count(contents, kind, _COMPRESSED_TEXTS + 1) for kind in _PNG_COMPRESSED)
    within = tf.reduce_all(sides > 0) & (pixels <= most) & (texts <= _COMPRESSED_TEXTS)
    return within & (_count(contents, _PNG_END, 1) > 0)


def _is_decodable_jpeg(contents: tf.Tensor, most: int) -> tf.Tensor:
    """In compressed data a zero follows each 0xFF, so an end marker after the last scan is one."""
    pixels = tf.reduce_prod(tf.cast(tf.io.extract_jpeg_shape(contents)[:2], tf.int64))
    parts = tf.strings.split(contents, _SCAN_START, maxsplit=_SCANS + 1)
    scans = tf.size(parts) - 1
    few = (scans <= _SCANS) & (tf.cast(scans, tf.int64) * pixels <= _FULL_SCANS * most)
    return few & (pixels <= most) & (_count(parts[-1], _JPEG_END, 1) > 0)


def _count(contents: tf.Tensor, marker: bytes, most: int) -> tf.Tensor:
    """Counts a sequence of bytes in a string, up to `most`; int32 []."""
    return tf.size(tf.strings.split(contents, marker, maxsplit=most)) - 1
