"""Applies the EXIF orientation of an image in the graph; reads it as `common/orientation.py`."""

import tensorflow as tf

JPEG, PNG = b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'  # first bytes of a file
_EXIF, _CHUNK = b'Exif\0\0', b'eXIf'  # before EXIF data in a JPEG, and in a PNG
_SCAN, _END = b'\xff\xda', b'IEND'  # in a JPEG and a PNG, no EXIF data follows
_APP1 = (0xFF, 0xE1)
# EXIF data is a directory as in TIFF. Pillow ignores the order of the bytes after the first two.
_STARTS = [b'II*\0', b'II\0*', b'MM\0*', b'MM*\0']
_ORIENTATION, _SHORT, _LONG = 0x0112, 3, 4  # a tag, and types of its value
_TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 0]  # 0: Pillow skips the tag
_ENTRY, _MAX_ENTRIES = 12, 200  # bytes of a tag; cameras write about a dozen tags


def turn_upright(image: tf.Tensor, contents: tf.Tensor) -> tf.Tensor:
    """Applies the orientation of a file, string [], to its square image, [size, size, channels].

    Missing or damaged EXIF data is ignored.
    """
    orientation = _read_orientation(_find_exif(contents))

    def turn() -> tf.Tensor:
        left_right = tf.reduce_any(orientation == [2, 3, 6, 7])
        top_bottom = tf.reduce_any(orientation == [3, 4, 7, 8])
        turned = tf.where(orientation > 4, tf.transpose(image, [1, 0, 2]), image)
        turned = tf.where(left_right, tf.reverse(turned, [1]), turned)
        return tf.where(top_bottom, tf.reverse(turned, [0]), turned)

    return tf.cond(orientation > 1, turn, lambda: image)


def _find_exif(contents: tf.Tensor) -> tf.Tensor:
    """Returns the first EXIF data before the picture; an empty string if there is none."""
    is_jpeg = tf.strings.substr(contents, 0, len(JPEG)) == JPEG
    parts = tf.strings.split(contents, tf.where(is_jpeg, _EXIF, _CHUNK), maxsplit=1)
    start = tf.strings.length(parts[0])
    picture = tf.strings.split(contents, tf.where(is_jpeg, _SCAN, _END), maxsplit=1)[0]
    # Marker and length of a JPEG segment, or the length of a PNG chunk.
    head = _values(tf.strings.substr(b'\0\0\0\0' + parts[0], start, 4))
    length = tf.where(is_jpeg, _number(head[2:]) - 2 - len(_EXIF), _number(head))
    length = tf.cast(tf.clip_by_value(length, 0, 2**30), tf.int32)
    exif = tf.strings.substr(tf.strings.reduce_join(parts[1:]), 0, length)
    is_exif = ~is_jpeg | tf.reduce_all(head[:2] == _APP1)
    return tf.where(is_exif & (start < tf.strings.length(picture)), exif, '')


def _read_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in the first directory of EXIF data, int64 []."""
    exif = tf.strings.regex_replace(exif, rb'\AExif\x00\x00', '', replace_global=False)  # of PNGs
    little = tf.strings.substr(exif, 0, 1) == b'I'
    exif = tf.where(tf.reduce_any(tf.strings.substr(exif, 0, 4) == _STARTS), exif, '')
    length = tf.cast(tf.strings.length(exif), tf.int64)
    values = tf.pad(_values(exif), [[0, 8 + 2 + _MAX_ENTRIES * _ENTRY]])
    directory = tf.minimum(_number(values[4:8], little), length)
    count = _number(values[directory : directory + 2], little)
    table = values[directory + 2 :][: _MAX_ENTRIES * _ENTRY]
    table = tf.reshape(table, [_MAX_ENTRIES, _ENTRY])
    tag, kind, number = (_number(table[:, a:b], little) for a, b in ((0, 2), (2, 4), (4, 8)))
    short, long = (_number(table[:, 8:end], little) for end in (10, 12))
    # Pillow reads no tag after one that is truncated or has its value outside the EXIF data.
    index = tf.range(_MAX_ENTRIES, dtype=tf.int64)
    bytes_of = tf.gather(tf.constant(_TYPE_BYTES, tf.int64), tf.minimum(kind, len(_TYPE_BYTES) - 1))
    outside = (number * bytes_of > 4) & (long + number * bytes_of > length)
    unread = (index >= count) | (directory + 2 + _ENTRY * (index + 1) > length) | outside
    found = (tag == _ORIENTATION) & (number == 1) & ((kind == _SHORT) | (kind == _LONG))
    found &= tf.cumsum(tf.cast(unread, tf.int64)) == 0
    last = tf.reduce_max(tf.where(found, index, -1))
    value = tf.reduce_sum(tf.where(index == last, tf.where(kind == _SHORT, short, long), 0))
    return tf.where(value <= 8, value, 1)


def _values(contents: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.decode_raw(contents, tf.uint8), tf.int64)


def _number(values: tf.Tensor, little_endian: tf.Tensor | bool = False) -> tf.Tensor:
    """Returns the unsigned numbers, int64 [...], of bytes, int64 [..., length]."""
    ordered = tf.where(little_endian, values, tf.reverse(values, [-1]))
    return tf.reduce_sum(ordered * 256 ** tf.range(tf.shape(values, tf.int64)[-1]), axis=-1)
