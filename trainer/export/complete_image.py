"""Detects incomplete JPEG and PNG files with TensorFlow operations, inside the serving graph.

These checks run before decoding and follow the format rules of ingestion: they reject other formats
and truncated files, of which TensorFlow decodes some.
"""

import tensorflow as tf

from trainer.orientation import JPEG, PNG, contains

_PNG_END = b'\0\0\0\0IEND\xaeB`\x82'  # the empty last chunk: length, name and checksum
_JPEG_END = b'\xff\xd9'
# A PNG of one white pixel, decoded in place of a rejected image.
PIXEL = (
    b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU'
    b'\0\0\0\nIDATx\xdac\xf8\x0f\0\1\1\1\0\x1c\xb0\x8c\x99\0\0\0\0IEND\xaeB`\x82'
)
_HEADER = 4  # bytes of a segment header: 0xFF, marker, length
_MAX_SEGMENTS = 1000  # a file with thumbnail and colour profile has about a dozen
# Distance from a marker to the next one (ITU-T T.81, annex B): most segments state their length,
# some markers stand alone, 0xFF is a fill byte, and nothing follows the end marker.
_STATED = 0
_STEPS = [_STATED] * 256
_STEPS[0x00] = _STEPS[0x01] = 2
_STEPS[0xD0:0xD9] = [2] * 9
_STEPS[0xD9], _STEPS[0xFF] = 2**30, 1
_START_OF_SCAN = 0xDA
_START_OF_FRAME = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # the types that TensorFlow decodes


def is_complete(encoded: tf.Tensor) -> tf.Tensor:
    """Whether files are JPEG or PNG with start and end, bool [batch] from string [batch].

    Ignores bytes after the end of the image.
    """
    png, jpeg = (tf.strings.substr(encoded, 0, len(magic)) == magic for magic in (PNG, JPEG))
    scans = _scans(tf.where(jpeg, encoded, ''))
    return (png & contains(tf.where(png, encoded, ''), _PNG_END)) | contains(scans, _JPEG_END)


def _scans(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the compressed data of JPEGs and all bytes after it; empty if there is none.

    The end marker of a thumbnail is in an earlier segment. In compressed data a zero follows each
    0xFF, so the first end marker there is that of the image. Each loop step advances all files of
    the batch by one segment.
    """
    length = tf.strings.length(encoded)
    padded = encoded + b'\0' * _HEADER
    zeros = tf.zeros_like(length)

    def step(
        position: tf.Tensor, framed: tf.Tensor, data: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        headers = tf.strings.substr(padded, position, zeros + _HEADER)
        header = tf.reshape(tf.cast(tf.io.decode_raw(headers, tf.uint8), tf.int32), [-1, _HEADER])
        marker = tf.where(header[:, 0] == 0xFF, header[:, 1], 0xFF)  # else skip the byte
        distance = tf.gather(tf.constant(_STEPS), marker)
        stated = 2 + 256 * header[:, 2] + header[:, 3]
        after = position + tf.where(distance == _STATED, stated, distance)
        for frame in _START_OF_FRAME:
            framed |= marker == frame
        data = tf.where((marker == _START_OF_SCAN) & framed & (position < length), after, data)
        after = tf.where((marker == _START_OF_SCAN) | (after > length), length, after)
        return after, framed, tf.where(data > length, length, data)

    _, _, data = tf.while_loop(
        lambda position, *_: tf.reduce_any(position < length),
        step,
        (tf.minimum(zeros + 2, length), length < 0, length),
        parallel_iterations=1,
        maximum_iterations=_MAX_SEGMENTS,
    )
    return tf.strings.substr(encoded, data, length)
