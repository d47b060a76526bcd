"""Records with more values than parsing them should take memory for."""

import pytest
import tensorflow as tf
from tfrecord_files import example

from common.errors import Rejected
from components.image_example_gen.sources.tfrecord.wire_format import require_few_values


def record(**features) -> bytes:
    """A `tf.Example` with the serialised lists of its features."""
    entries = (
        bytes_field(1, bytes_field(1, name.encode()) + bytes_field(2, value))
        for name, value in features.items()
    )
    return bytes_field(1, b''.join(entries))


def bytes_field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def test_bytes_are_those_of_protobuf():
    contents = record(image=bytes_field(1, bytes_field(1, b'abc')))
    assert tf.train.Example.FromString(contents).features.feature['image'].bytes_list.value == [
        b'abc'
    ]


@pytest.mark.parametrize(
    'contents',
    [
        example(image=bytes(30_000_000), label=1, name=b'a'),
        example(image=b'1', label=1, mask=bytes(10_000_000), box=[1] * 100_000),
        record(scores=bytes_field(2, bytes_field(1, bytes(10_000_000)))),  # floats
        b'',
        b'\xff' * 1000,
        bytes_field(1, b'\x0a' * 100),
    ],
)
def test_few_values_are_accepted(contents):
    require_few_values(contents)


@pytest.mark.parametrize(
    'contents',
    [
        record(label=bytes_field(3, bytes_field(1, bytes(5_000_000)))),  # packed integers
        record(label=bytes_field(3, b'\x08\0' * 500_000)),
        record(label=bytes_field(1, b'\x0a\0' * 500_000)),  # empty bytes
        record(label=bytes_field(2, b'\x0d\0\0\0\0' * 500_000)),  # floats
        bytes_field(1, b'\x0a\0' * 500_000),  # features
        b'\x0a\0' * 500_000,
        b'\x10\0' * 500_000,  # unknown fields
    ],
)
def test_many_values_are_refused(contents):
    with pytest.raises(Rejected, match='too large: its record has more values than an image needs'):
        require_few_values(contents)
