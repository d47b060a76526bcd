"""Checks JPEG and PNG files with TensorFlow operations, inside the serving graph.

These checks run before decoding and follow the rules of ingestion: they reject other formats,
truncated files, of which TensorFlow decodes some, and files that take too long to decode. Ingestion
decodes in worker processes with limits of memory and CPU time instead.
"""

import tensorflow as tf

from trainer.orientation import JPEG, PNG, contains

# Each scan of a JPEG visits all pixels again: about 0.7 ms per megapixel. Encoders write up to 20
# scans in progressive files, and many images of the largest size have at most 10.
_SCANS = 100
_FULL_SCANS = 16  # limit of an image of the largest size; inversely proportional to the pixels
_SEGMENTS = 1000  # of a JPEG, which are read one after the other before the picture is decoded
# Compressed texts and profiles of a PNG: libpng decompresses up to 8 MB of each.
_COMPRESSED_TEXTS = 20
_PNG_END = b'\0\0\0\0IEND\xaeB`\x82'  # the empty last chunk: length, name and checksum
_JPEG_END = b'\xff\xd9'
# A PNG of one white pixel, decoded in place of a rejected image.
PIXEL = (
    b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU'
    b'\0\0\0\nIDATx\xdac\xf8\x0f\0\1\1\1\0\x1c\xb0\x8c\x99\0\0\0\0IEND\xaeB`\x82'
)
_HEADER = 9  # bytes of a segment: 0xFF, marker, length, and of a frame its bits, height and width
# Distance from a marker to the next one (ITU-T T.81, annex B): most segments state their length,
# some markers stand alone, 0xFF is a fill byte, and nothing follows the end marker.
_STATED = 0
_STEPS = [_STATED] * 256
_STEPS[0x00] = _STEPS[0x01] = 2
_STEPS[0xD0:0xD9] = [2] * 9
_STEPS[0xD9], _STEPS[0xFF] = 2**30, 1
_START_OF_SCAN = 0xDA
_START_OF_FRAME = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # the types that TensorFlow decodes


_SCAN_START = b'\xff\xda\0'  # as in ingestion, the marker and a byte of its length
_PNG_HEADER, _PNG_SIDES = 24, (16, 20)  # bytes, and positions of width and height
_PNG_COMPRESSED = (b'zTXt', b'iTXt', b'iCCP')
_JPEG_HEIGHT, _JPEG_WIDTH = slice(5, 7), slice(7, 9)  # of a frame


def is_decodable(encoded: tf.Tensor, max_megapixels: float) -> tf.Tensor:
    """Whether files are JPEG or PNG with start and end, bool [batch] from string [batch].

    Files that take too long are not: more than `max_megapixels`, or a number of scans or compressed
    texts above the constants of this module. Ignores bytes after the end of the image.
    """
    png, jpeg = (tf.strings.substr(encoded, 0, len(magic)) == magic for magic in (PNG, JPEG))
    most = int(max_megapixels * 1e6)
    return _is_decodable_png(tf.where(png, encoded, ''), most) | _is_decodable_jpeg(
        tf.where(jpeg, encoded, ''), most
    )


def _is_decodable_png(encoded: tf.Tensor, most: int) -> tf.Tensor:
    def check() -> tf.Tensor:
        header = tf.strings.substr(encoded + b'\0' * _PNG_HEADER, 0, _PNG_HEADER)
        values = tf.cast(tf.io.decode_raw(header, tf.uint8, fixed_length=_PNG_HEADER), tf.int64)
        width, height = (_number(values[:, start : start + 4]) for start in _PNG_SIDES)
        texts = sum(_count(encoded, kind, _COMPRESSED_TEXTS + 1) for kind in _PNG_COMPRESSED)
        within = (width <= most) & (height <= most) & (width * height <= most)
        return within & (texts <= _COMPRESSED_TEXTS) & contains(encoded, _PNG_END)

    none = tf.zeros_like(encoded, tf.bool)
    return tf.cond(tf.reduce_any(encoded != ''), check, lambda: none)


def _is_decodable_jpeg(encoded: tf.Tensor, most: int) -> tf.Tensor:
    data, pixels = _scans(encoded)
    scans = 1 + _count(data, _SCAN_START, _SCANS)
    few = (scans <= _SCANS) & (tf.cast(scans, tf.int64) * pixels <= _FULL_SCANS * most)
    return few & (pixels <= most) & contains(data, _JPEG_END)


def _count(encoded: tf.Tensor, marker: bytes, most: int) -> tf.Tensor:
    """Counts a sequence of bytes in each string, up to `most`; int64 [batch]."""
    return tf.strings.split(encoded, marker, maxsplit=most).row_lengths() - 1


def _number(values: tf.Tensor) -> tf.Tensor:
    """Returns the unsigned big-endian numbers, int64 [batch], of bytes, [batch, length]."""
    powers = 256 ** tf.range(values.shape[-1] - 1, -1, -1, dtype=tf.int64)
    return tf.reduce_sum(tf.cast(values, tf.int64) * powers, axis=-1)


def _scans(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the compressed data of JPEGs and all bytes after it, and pixels, int64 [batch].

    The data is empty if there is none.

    The end marker of a thumbnail is in an earlier segment. In compressed data a zero follows each
    0xFF, so the first end marker there is that of the image. Each loop step advances all files of
    the batch by one segment.
    """
    length = tf.strings.length(encoded)
    padded = encoded + b'\0' * _HEADER
    zeros = tf.zeros_like(length)

    def step(
        position: tf.Tensor, pixels: tf.Tensor, data: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        headers = tf.strings.substr(padded, position, zeros + _HEADER)
        header = tf.reshape(tf.cast(tf.io.decode_raw(headers, tf.uint8), tf.int32), [-1, _HEADER])
        marker = tf.where(header[:, 0] == 0xFF, header[:, 1], 0xFF)  # else skip the byte
        distance = tf.gather(tf.constant(_STEPS), marker)
        stated = 2 + 256 * header[:, 2] + header[:, 3]
        after = position + tf.where(distance == _STATED, stated, distance)
        size = _number(header[:, _JPEG_HEIGHT]) * _number(header[:, _JPEG_WIDTH])
        for frame in _START_OF_FRAME:
            pixels = tf.where(marker == frame, tf.maximum(pixels, size), pixels)
        is_scan = marker == _START_OF_SCAN
        data = tf.where(is_scan & (pixels > 0) & (position < length), after, data)
        after = tf.where(is_scan | (after > length), length, after)
        return after, pixels, tf.where(data > length, length, data)

    _, pixels, data = tf.while_loop(
        lambda position, *_: tf.reduce_any(position < length),
        step,
        (tf.minimum(zeros + 2, length), tf.zeros_like(length, tf.int64), length),
        parallel_iterations=1,
        maximum_iterations=_SEGMENTS,
    )
    return tf.strings.substr(encoded, data, length), pixels
