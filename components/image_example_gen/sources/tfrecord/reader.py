"""Reads TFRecord files, in a limited process. Does not import TensorFlow.

A record is its length in 8 bytes, a checksum of that in 4, the payload, and a checksum of it in 4,
all little-endian; a checksum is CRC-32C, masked. See `tensorflow/core/lib/io/record_writer.h`.
The readers of TensorFlow and Beam end at the first damaged record, and cannot start at a later one.
"""

import contextlib
import dataclasses
import gzip
import io
import itertools
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import google_crc32c
from google.protobuf.message import DecodeError

from common.errors import DataError, Rejected
from common.files import open_regular
from components.image_example_gen.sources.base.data_config import DataConfig, FeatureNames
from components.image_example_gen.sources.base.labels import Label
from components.image_example_gen.sources.base.record_source import (
    RecordFile,
    as_label,
    as_text,
    count_labels,
    part_of,
)
from components.image_example_gen.sources.base.source_protocol import IMAGES_PER_SHARD
from components.image_example_gen.sources.tfrecord.example_proto import features_of

_Stream = gzip.GzipFile | io.BufferedReader

_HEAD, _TAIL = struct.Struct('<QI'), struct.Struct('<I')
_GZIP = b'\x1f\x8b\x08'
_BESIDES = 2**20  # bytes of a record besides its image
_MOST_SKIPPED = 2**62  # bytes; `seek` accepts no more than 2**63 - 1


@dataclasses.dataclass(frozen=True)
class Records(RecordFile):
    """A file, and what its records say."""

    count: int
    offsets: tuple[int, ...]  # where every IMAGES_PER_SHARD-th record begins; gzip: the first


class Example(NamedTuple):
    """Values of a `tf.Example`."""

    image: bytes
    label: Label
    text: str  # the name of the label, or ''
    path: str
    split: str
    group: str | None


def scan(file: Path, name: str, config: DataConfig) -> Iterator[Records]:
    """Yields what the records of a file say; reads all of them.

    Raises DataError if it is damaged between two records, or no record has the features.
    """
    offsets: list[int] = []
    names: dict[int, str] = {}
    reason: Rejected | None = None

    def labels() -> Iterator[tuple[str, Label]]:
        nonlocal reason
        with _open(file) as stream:
            is_seekable = not isinstance(stream, gzip.GzipFile)
            for number, (offset, record) in enumerate(_records(file, stream, config)):
                if number == 0 or (is_seekable and number % IMAGES_PER_SHARD == 0):
                    offsets.append(offset)
                try:
                    example = parse(record, config)
                except Rejected as error:
                    reason = error
                    yield '', None
                    continue
                if example.text and isinstance(example.label, int):
                    names.setdefault(example.label, example.text)
                yield example.split, example.label

    seen = count_labels(file, labels())
    if reason and not any(label is not None for _, label in seen):
        raise DataError(
            f'{file} has no example that matches data.features: of the last one, {reason.detail}'
        )
    yield Records(file, name, seen, names, seen.total(), tuple(offsets))


def read_range(
    records: Records, first: int, count: int, config: DataConfig
) -> Iterator[bytes | Rejected]:
    """Yields the payload of each record of a shard, or an error.

    Raises DataError if the file cannot be read, or has changed since it was scanned.
    """
    with _open(records.file) as stream:
        stream.seek(records.offsets[first // IMAGES_PER_SHARD])
        number = 0
        for _, record in itertools.islice(_records(records.file, stream, config), count):
            yield record
            number += 1
        if number < count:
            raise DataError(f'{records.file} changed while it was read: it has fewer records')


@contextlib.contextmanager
def _open(file: Path) -> Iterator[_Stream]:
    try:
        with open_regular(file) as raw:
            head = raw.peek(_HEAD.size)[: _HEAD.size]
            if head.startswith(_GZIP) and not _is_head(head):  # or a record of 559,903 bytes
                with gzip.GzipFile(fileobj=raw) as stream:
                    yield stream
            else:
                yield raw
    except (zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f'{file} is damaged: it cannot be decompressed: {error}') from error
    except OSError as error:
        raise DataError(f'{file} cannot be read: {error.strerror or error}') from error


def _records(
    file: Path, stream: _Stream, config: DataConfig
) -> Iterator[tuple[int, bytes | Rejected]]:
    """Yields where each record begins, and its payload or an error, up to the end or a truncated
    record; goes on after a damaged one. One that is larger than an image may be is not read.
    """
    most = config.checks.max_bytes + _BESIDES
    while True:
        start = stream.tell()
        truncated = Rejected('truncated', f'the file ends in its record, at byte {start:,}')
        try:
            head = stream.read(_HEAD.size)
            if not head:
                return
            if not _is_head(head):
                if len(head) < _HEAD.size and start:
                    raise EOFError
                problem = 'is damaged' if start else 'is not a TFRecord file'
                raise DataError(f'{file} {problem}: no record begins at byte {start:,}')
            length = _HEAD.unpack(head)[0]
            payload = stream.read(length) if length <= most else b''
            if length > most:
                stream.seek(min(length, _MOST_SKIPPED), os.SEEK_CUR)
            tail = stream.read(_TAIL.size)
            if len(tail) < _TAIL.size:
                raise EOFError
        except EOFError:  # GzipFile raises it, too
            yield start, truncated
            return
        if length > most:
            limit = f'its record has {length:,} bytes; the limit is {most:,}'
            yield start, Rejected('too large', limit)
        elif _TAIL.unpack(tail)[0] != _masked_crc32c(payload):
            yield start, Rejected('damaged', 'the checksum of its record is wrong')
        else:
            yield start, payload


def _is_head(head: bytes) -> bool:
    return len(head) == _HEAD.size and _HEAD.unpack(head)[1] == _masked_crc32c(head[:8])


def _masked_crc32c(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def parse(record: bytes | Rejected, config: DataConfig) -> Example:
    """Raises Rejected if a record is one, or no `tf.Example` with the features of the recipe."""
    if isinstance(record, Rejected):
        raise record
    try:
        features = features_of(record)
    except (DecodeError, MemoryError):
        raise Rejected('unreadable', 'its record is not a tf.Example, or a huge one') from None
    names: FeatureNames = config.features
    image = _single(features, names.image)
    if not isinstance(image, bytes):
        kind = type(image).__name__
        raise Rejected('unreadable', f'its feature {names.image} is {kind}; expected bytes')
    split, group = names.split, config.group_by.column if config.group_by else None
    return Example(
        image,
        as_label(_single(features, names.label)),
        as_text(_optional(features, names.text)),
        as_text(_optional(features, names.filename)),
        part_of(split, _optional(features, split)) if split else '',
        as_text(_optional(features, group)) or None,
    )


def _single(features: dict[str, Any], name: str) -> Any:
    """The value of a feature; raises Rejected if it is missing, or has none or several."""
    if name not in features:
        existing = ', '.join(each[:40] for each in sorted(features)[:20]) or 'none'
        raise Rejected('unreadable', f'its record has no feature {name}; its features: {existing}')
    if len(features[name]) != 1:
        count = len(features[name])
        raise Rejected('unreadable', f'its feature {name} has {count} values; expected one')
    return features[name][0]


def _optional(features: dict[str, Any], name: str | None) -> Any:
    return next(iter(features.get(name or '', ())), None)
