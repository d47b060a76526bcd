"""Which bytes are the file of a whole image, as TensorFlow operations: a part of what serving runs.

One image that cannot be decoded makes `tf.io.decode_image` refuse the whole batch. What can be told
before decoding is told here, by the rules of the image formats that ingestion inspects: another
file than a JPEG or PNG, and one whose end is missing. Damage within the compressed data cannot be.
"""

import tensorflow as tf

_JPEG, _PNG = b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'
_PNG_END = b'\0\0\0\0IEND\xaeB`\x82'  # the last chunk: no bytes, its name and its checksum
_JPEG_END = b'\xff\xd9'
# A white pixel, for a decoder to decode in place of what it cannot.
PIXEL = (
    b'\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU'
    b'\0\0\0\nIDATx\xdac\xf8\x0f\0\1\1\1\0\x1c\xb0\x8c\x99\0\0\0\0IEND\xaeB`\x82'
)
_HEAD = 4  # bytes: 0xFF, marker, length of what follows
_MOST_SEGMENTS = 1000  # a thumbnail and a profile make a dozen
# How far it is from one marker to the next (ITU-T T.81, annex B): what most begin says its length,
# some stand alone, 0xFF fills, and there is nothing after the end.
_SAID = 0
_STEPS = [_SAID] * 256
_STEPS[0x00] = _STEPS[0x01] = 2
_STEPS[0xD0:0xD9] = [2] * 9
_STEPS[0xD9], _STEPS[0xFF] = 2**30, 1
_SCAN = 0xDA
_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # those that are decoded


def is_whole(encoded: tf.Tensor) -> tf.Tensor:
    """Whether bytes begin and end as a JPEG or PNG does, bool [batch] from string [batch].

    Bytes after the end of the picture do not matter.
    """
    png, jpeg = _begins(encoded, _PNG), _begins(encoded, _JPEG)
    scans = _scans(tf.where(jpeg, encoded, ''))
    return (png & _holds(tf.where(png, encoded, ''), _PNG_END)) | _holds(scans, _JPEG_END)


def _begins(encoded: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, len(magic)) == magic


def _holds(encoded: tf.Tensor, mark: bytes) -> tf.Tensor:
    # The pattern of a regular expression would have to be UTF-8.
    return tf.strings.split(encoded, mark, maxsplit=1).row_lengths() > 1


def _scans(encoded: tf.Tensor) -> tf.Tensor:
    """JPEGs from their compressed data on; empty where there is none. All take a step at a time.

    The end of a thumbnail lies in a segment before, and that of the picture cannot be taken for it:
    within compressed data each 0xFF is followed by a zero.
    """
    length = tf.strings.length(encoded)
    padded = encoded + b'\0' * _HEAD
    zeros = tf.zeros_like(length)

    def step(
        position: tf.Tensor, framed: tf.Tensor, data: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        head = _bytes_at(padded, position)
        marker = tf.where(head[:, 0] == 0xFF, head[:, 1], 0xFF)  # else what lies between segments
        known = tf.gather(tf.constant(_STEPS), marker)
        said = 2 + 256 * head[:, 2] + head[:, 3]
        after = position + tf.where(known == _SAID, said, known)
        for frame in _FRAMES:
            framed |= marker == frame
        data = tf.where((marker == _SCAN) & framed & (position < length), after, data)
        after = tf.where((marker == _SCAN) | (after > length), length, after)
        return after, framed, tf.where(data > length, length, data)

    _, _, data = tf.while_loop(
        lambda position, *_: tf.reduce_any(position < length),
        step,
        (tf.minimum(zeros + 2, length), length < 0, length),
        parallel_iterations=1,
        maximum_iterations=_MOST_SEGMENTS,
    )
    return tf.strings.substr(encoded, data, tf.strings.length(encoded))


def _bytes_at(padded: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    """The next bytes of each string, int32 [batch, 4]."""
    heads = tf.strings.substr(padded, position, tf.fill(tf.shape(position), _HEAD))
    return tf.reshape(tf.cast(tf.io.decode_raw(heads, tf.uint8), tf.int32), [-1, _HEAD])
