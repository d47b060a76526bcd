"""Estimates the memory of a `tf.Example` before it is parsed.

Many small values take a hundred times the bytes that they have in a record. The messages are in
`tensorflow/core/example/example.proto`, and their encoding at https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator

from common.errors import Rejected

_FIELD, _INTEGER = 64, 8  # bytes of memory: of a field; of an integer, which may have 1 in a record
_MOST_BYTES = 16 * 2**20  # of memory; that of bytes values, such as images, does not count
# The fields that are messages, in Example, Features, an entry of it, and Feature. The latter are
# lists of bytes, floats and integers.
_MESSAGES = ((1,), (1,), (2,), (1, 2, 3))
_INTEGERS = 3
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # wire types


def require_few_values(record: bytes) -> None:
    """Raises Rejected if a record has more values than an image with its features needs.

    What follows a mistake is not examined: the parser refuses such a record.
    """
    memory, waiting = 0, [(memoryview(record), 0, False)]
    while waiting:
        message, depth, has_integers = waiting.pop()
        if has_integers:
            memory += _INTEGER * len(message)
        for number, payload in _fields(message):
            memory += _FIELD
            if memory > _MOST_BYTES:
                raise Rejected('too large', 'its record has more values than an image needs')
            if depth < len(_MESSAGES) and payload is not None and number in _MESSAGES[depth]:
                is_list = depth == len(_MESSAGES) - 1
                waiting.append((payload, depth + 1, is_list and number == _INTEGERS))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Yields the number of each field, and its payload if it has a length, up to a mistake."""
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        size, kind = 0, tag & 7
        if kind == _VARINT:
            _, position = _varint(message, position)
        elif kind == _LENGTH:
            size, position = _varint(message, position)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            position += 8 if kind == _EIGHT_BYTES else 4
        else:
            return
        yield tag >> 3, message[position : position + size] if kind == _LENGTH else None
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """An integer, and the position after it; that of the end if it is truncated."""
    value = shift = 0
    for place in range(position, min(position + 10, len(message))):
        value |= (message[place] & 0x7F) << shift
        if message[place] < 0x80:
            return value, place + 1
        shift += 7
    return 0, len(message)
