"""Applies the EXIF orientation of JPEG and PNG files with TensorFlow operations.

The orientation is the one that ingestion reads, in `common/orientation.py`. All files of a batch
advance together, by one JPEG segment or PNG chunk in each step of a loop.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

JPEG, PNG = b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'  # first bytes of a file
_EXIF_SEGMENT, _APP1, _START_OF_SCAN = b'Exif\0\0', 0xE1, 0xDA
_EXIF_CHUNK, _LAST_CHUNK = b'eXIf', b'IEND'
_HEADER = 4 + len(_EXIF_SEGMENT)  # bytes that are read of a segment or chunk
_MAX_PARTS = 25_000  # a PNG often has a chunk for 8 KB; also limits the time for a file
# EXIF data is a directory as in TIFF. Pillow ignores the order of the bytes after the first two.
_LITTLE_ENDIAN, _BIG_ENDIAN = [b'II*\0', b'II\0*'], [b'MM\0*', b'MM*\0']
_ORIENTATION, _SHORT, _LONG = 0x0112, 3, 4  # a tag, and types of its value
_TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 0]  # 0: Pillow skips the tag
_ENTRY, _MAX_ENTRIES = 12, 200  # bytes of a tag; cameras write about a dozen tags


class _Part(NamedTuple):
    """A segment or chunk of each file of a batch; positions are relative to its start."""

    is_exif: tf.Tensor  # bool [batch]
    is_last: tf.Tensor  # bool [batch]; no EXIF data follows
    payload: int  # position of the EXIF data
    payload_end: tf.Tensor  # int64 [batch]
    end: tf.Tensor  # position of the next part, int64 [batch]


def turn_upright(images: tf.Tensor, encoded: tf.Tensor) -> tf.Tensor:
    """Applies the EXIF orientations of files, string [batch], to their decoded images.

    Images are square, [batch, size, size, channels]. Missing or damaged EXIF data is ignored.
    """
    jpeg, png = (
        tf.where(tf.strings.substr(encoded, 0, len(magic)) == magic, encoded, '')
        for magic in (JPEG, PNG)
    )

    def turn() -> tf.Tensor:
        segments = _find_exif(jpeg, len(JPEG) - 1, _jpeg_segment)
        chunks = _find_exif(png, len(PNG), _png_chunk)
        orientation = _orientation(segments + chunks)[:, tf.newaxis]  # one of them is empty

        def change(images: tf.Tensor, orientations: list[int], changed: tf.Tensor) -> tf.Tensor:
            chosen = tf.reduce_any(orientation == orientations, axis=1)
            return tf.where(chosen[:, tf.newaxis, tf.newaxis, tf.newaxis], changed, images)

        turned = change(images, [5, 6, 7, 8], tf.transpose(images, [0, 2, 1, 3]))
        turned = change(turned, [2, 3, 6, 7], tf.reverse(turned, [2]))  # left and right
        return change(turned, [3, 4, 7, 8], tf.reverse(turned, [1]))  # top and bottom

    # Most batches have no EXIF data.
    has_exif = _any_contains(jpeg, _EXIF_SEGMENT) | _any_contains(png, _EXIF_CHUNK)
    return tf.cond(has_exif, turn, lambda: images)


def contains(encoded: tf.Tensor, marker: bytes) -> tf.Tensor:
    """Whether each of the strings, [batch], contains a sequence of bytes, bool [batch]."""
    # Not a regular expression: those of TensorFlow have to be UTF-8.
    return tf.strings.split(encoded, marker, maxsplit=1).row_lengths() > 1


def _any_contains(encoded: tf.Tensor, marker: bytes) -> tf.Tensor:
    """Whether any of the strings contains a sequence of bytes, bool []; takes fewer operations."""
    return tf.raw_ops.StringSplitV2(input=encoded, sep=marker, maxsplit=1).shape[1] > 1


def _jpeg_segment(header: tf.Tensor) -> _Part:
    """Reads 0xFF, marker and length (ITU-T T.81, annex B), and the identifier of EXIF data."""
    is_segment = (header[:, 0] == 0xFF) & (header[:, 1] != 0xFF)  # else a fill byte
    marker = tf.where(is_segment, header[:, 1], 0)
    end = tf.where(is_segment, 2 + _number(header[:, 2:4]), 1)
    is_exif = (marker == _APP1) & tf.reduce_all(header[:, 4:] == [*_EXIF_SEGMENT], axis=1)
    return _Part(is_exif, marker == _START_OF_SCAN, _HEADER, end, end)


def _png_chunk(header: tf.Tensor) -> _Part:
    """Reads length and name (W3C PNG specification); a checksum of 4 bytes ends a chunk."""
    end, name = 8 + _number(header[:, :4]), header[:, 4:8]
    is_exif, is_last = (
        tf.reduce_all(name == [*each], axis=1) for each in (_EXIF_CHUNK, _LAST_CHUNK)
    )
    return _Part(is_exif, is_last, 8, end, end + 4)


def _find_exif(
    encoded: tf.Tensor, start: int, read_part: Callable[[tf.Tensor], _Part]
) -> tf.Tensor:
    """Returns the payload of the first segment or chunk with EXIF data; empty if there is none."""
    length = tf.cast(tf.strings.length(encoded), tf.int64)
    zeros = tf.zeros_like(length)

    def step(
        position: tf.Tensor, begin: tf.Tensor, end: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        part = read_part(_bytes_at(encoded, position, _HEADER))
        begin = tf.where(part.is_exif, position + part.payload, begin)
        end = tf.where(part.is_exif, position + part.payload_end, end)
        position = tf.where(part.is_exif | part.is_last, length, position + part.end)
        return tf.minimum(position, length), begin, end

    _, begin, end = tf.while_loop(
        lambda position, *_: tf.reduce_any(position < length),
        step,
        (tf.minimum(zeros + start, length), zeros, zeros),
        parallel_iterations=1,
        maximum_iterations=_MAX_PARTS,
    )
    begin = tf.minimum(begin, length)
    return tf.strings.substr(encoded, begin, tf.maximum(end - begin, 0))


def _orientation(exif: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in the first directory of EXIF data, int64 [batch]."""
    size = len(_EXIF_SEGMENT)
    prefixed = tf.strings.substr(exif, 0, size) == _EXIF_SEGMENT  # in some PNGs
    rest = tf.strings.substr(tf.where(prefixed, exif, _EXIF_SEGMENT), size, 2**30)
    exif = tf.where(prefixed, rest, exif)
    order = tf.strings.substr(exif, 0, len(_LITTLE_ENDIAN[0]))[:, tf.newaxis]
    little, big = (tf.reduce_any(order == each, axis=1) for each in (_LITTLE_ENDIAN, _BIG_ENDIAN))
    exif = tf.where(little | big, exif, '')
    length = tf.cast(tf.strings.length(exif), tf.int64)
    directory = _number(_bytes_at(exif, tf.zeros_like(length) + 4, 4), little)
    count = _number(_bytes_at(exif, directory, 2), little)
    entries = _bytes_at(exif, directory + 2, _MAX_ENTRIES * _ENTRY)
    entries = tf.reshape(entries, [-1, _MAX_ENTRIES, _ENTRY])
    little, length, directory, count = (
        each[:, tf.newaxis] for each in (little, length, directory, count)
    )
    tag, kind, values = (
        _number(entries[..., start:end], little) for start, end in ((0, 2), (2, 4), (4, 8))
    )
    short, long = (_number(entries[..., 8:end], little) for end in (10, 12))
    # Pillow reads no tag after one that is truncated or has its value outside the EXIF data.
    index = tf.range(_MAX_ENTRIES, dtype=tf.int64)
    type_bytes = tf.constant(_TYPE_BYTES, tf.int64)
    size = values * tf.gather(type_bytes, tf.minimum(kind, len(_TYPE_BYTES) - 1))
    outside = (size > 4) & (long + size > length)
    unread = (index >= count) | (directory + 2 + _ENTRY * (index + 1) > length) | outside
    read = tf.cumsum(tf.cast(unread, tf.int64), axis=1) == 0
    found = read & (tag == _ORIENTATION) & (values == 1) & ((kind == _SHORT) | (kind == _LONG))
    last = tf.reduce_max(tf.where(found, index, -1), axis=1, keepdims=True)
    value = tf.where(kind == _SHORT, short, long)
    value = tf.reduce_sum(tf.where(index == last, value, 0), axis=1)
    return tf.where(value <= 8, tf.maximum(value, 1), 1)


def _bytes_at(encoded: tf.Tensor, position: tf.Tensor, count: int) -> tf.Tensor:
    """Reads bytes, int64 [batch, count], from int64 [batch]; zeros after the end of a string."""
    position = tf.minimum(position, tf.cast(tf.strings.length(encoded), tf.int64))
    text = tf.strings.substr(encoded, position, tf.zeros_like(position) + count)
    return tf.cast(tf.io.decode_raw(text, tf.uint8, fixed_length=count), tf.int64)


def _number(values: tf.Tensor, little_endian: tf.Tensor | bool = False) -> tf.Tensor:
    """Returns the unsigned numbers, int64 [...], of bytes, int64 [..., length]."""
    little = tf.convert_to_tensor(little_endian)[..., tf.newaxis]
    powers = 256 ** tf.range(values.shape[-1], dtype=tf.int64)
    return tf.reduce_sum(tf.where(little, values, tf.reverse(values, [-1])) * powers, axis=-1)
