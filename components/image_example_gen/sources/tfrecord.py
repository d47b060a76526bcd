"""Source for TFRecords of `tf.Example`s, also those that ImageExampleGen wrote.

A record is its length in 8 bytes, a checksum of that in 4, the payload, and a checksum of it in 4,
all little-endian; a checksum is CRC-32C, masked. See `tensorflow/core/lib/io/record_writer.h`.
The readers of TensorFlow and Beam end at the first damaged record. Does not import TensorFlow.
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
from typing import Any

import google_crc32c
from google.protobuf.message import DecodeError

from common.errors import DataError, Rejected
from common.files import open_regular
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.example_proto import features_of
from components.image_example_gen.sources.base.labels import Label
from components.image_example_gen.sources.base.listing import RECORDS
from components.image_example_gen.sources.base.record_source import (
    Record,
    RecordFile,
    RecordSource,
    as_label,
    as_text,
    count_labels,
    part_of,
)
from components.image_example_gen.sources.base.source_protocol import ranges

_Stream = gzip.GzipFile | io.BufferedReader

_HEAD, _TAIL = struct.Struct('<QI'), struct.Struct('<I')
_GZIP = b'\x1f\x8b\x08'
_BESIDES = 2**20  # bytes of a record besides its image
_MOST_SKIPPED = 2**62  # bytes; `seek` accepts no more than 2**63 - 1
_MOST_SHARDS = 64  # of a file: each reads the heads of all records before its own


@dataclasses.dataclass(frozen=True)
class Records(RecordFile):
    """A TFRecord file."""

    def read(self, numbers: range, config: DataConfig) -> Iterator[Record | Rejected]:
        """Yields records; raises DataError if the file has changed since it was scanned."""
        with _open(self.file) as stream:
            records = _records(self.file, stream, config, numbers.start)
            for _ in numbers:
                if (record := next(records, None)) is None:
                    raise DataError(f'{self.file} changed while it was read: it has fewer records')
                yield record if isinstance(record, Rejected) else record[0]


class TfrecordSource(RecordSource):
    """A TFRecord file, or all in a folder: `*.tfrecord`, `*-00000-of-00010`, `*.gz`.

    Labels are numbers or names, see `data.features`. See RecordSource; a compressed file is one
    shard.
    """

    suffixes = '*.tfrecord or *-00000-of-00010'

    @staticmethod
    def is_used(name: str) -> bool:
        return RECORDS.fullmatch(name) is not None

    @staticmethod
    def scan(file: Path, name: str, config: DataConfig) -> Iterator[Records]:
        """Yields what the records of a file say; reads all of them.

        Raises DataError if it is damaged between two records, or no record has the features.
        """
        names: dict[int, str] = {}
        reasons: list[Rejected] = []

        def labels(stream: _Stream) -> Iterator[tuple[str, Label]]:
            for record in _records(file, stream, config):
                if isinstance(record, Rejected):
                    reasons[:] = [record]
                    yield '', None
                else:
                    (_, label, _, split, _), text = record
                    if text and isinstance(label, int):
                        names.setdefault(label, text)
                    yield split, label

        with _open(file) as stream:
            seen = count_labels(file, labels(stream))
            most = 1 if isinstance(stream, gzip.GzipFile) else _MOST_SHARDS
        if reasons and not any(label is not None for _, label in seen):
            raise DataError(
                f'{file} has no example that matches data.features: of the last one, '
                f'{reasons[0].detail}'
            )
        yield Records(file, name, seen, names, tuple(ranges(seen.total(), most)))


@contextlib.contextmanager
def _open(file: Path) -> Iterator[_Stream]:
    try:
        with open_regular(file) as raw:
            is_gzip = raw.peek(len(_GZIP)).startswith(_GZIP)  # one record in 16 million, too
            yield gzip.GzipFile(fileobj=raw) if is_gzip else raw
    except (zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f'{file} is damaged: it cannot be decompressed: {error}') from error
    except OSError as error:
        raise DataError(f'{file} cannot be read: {error.strerror or error}') from error


def _records(
    file: Path, stream: _Stream, config: DataConfig, first: int = 0
) -> Iterator[tuple[Record, str] | Rejected]:
    """Yields each record from a number on, with the name of its label, or an error.

    Goes on after a damaged record; a truncated one is the last.
    """
    most = config.checks.max_bytes + _BESIDES
    for number in itertools.count():
        start = stream.tell()
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
            is_read = number >= first and length <= most
            payload = stream.read(length) if is_read else b''
            if not is_read:
                stream.seek(min(length, _MOST_SKIPPED), os.SEEK_CUR)
            tail = stream.read(_TAIL.size)
            if len(tail) < _TAIL.size:
                raise EOFError
        except EOFError:  # GzipFile raises it, too
            yield Rejected('truncated', f'the file ends in its record, at byte {start:,}')
            return
        if length > most:
            problem = f'its record has {length:,} bytes; the limit is {most:,}'
            yield from [Rejected('too large', problem)] * (number >= first)
        elif is_read and _TAIL.unpack(tail)[0] != _masked_crc32c(payload):
            yield Rejected('damaged', 'the checksum of its record is wrong')
        elif is_read:
            try:
                yield _parse(payload, config)
            except Rejected as error:
                yield error


def _is_head(head: bytes) -> bool:
    return len(head) == _HEAD.size and _HEAD.unpack(head)[1] == _masked_crc32c(head[:8])


def _masked_crc32c(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _parse(record: bytes, config: DataConfig) -> tuple[Record, str]:
    """Raises Rejected if a record is no `tf.Example` with the features of the recipe."""
    try:
        features = features_of(record)
    except (DecodeError, MemoryError):
        raise Rejected('unreadable', 'its record is not a tf.Example, or a huge one') from None
    names = config.features
    image = _single(features, names.image)
    if not isinstance(image, bytes):
        kind = type(image).__name__
        raise Rejected('unreadable', f'its feature {names.image} is {kind}; expected bytes')

    def optional(name: str | None) -> Any:
        return next(iter(features.get(name or '', ())), None)

    record_of = Record(
        image,
        as_label(_single(features, names.label)),
        as_text(optional(names.filename)),
        part_of(names.split, optional(names.split)) if names.split else '',
        as_text(optional(config.group_by.column if config.group_by else None)) or None,
    )
    return record_of, as_text(optional(names.text))


def _single(features: dict[str, Any], name: str) -> Any:
    """The value of a feature; raises Rejected if it is missing, or has none or several."""
    if name not in features:
        existing = ', '.join(each[:40] for each in sorted(features)[:20]) or 'none'
        raise Rejected('unreadable', f'its record has no feature {name}; its features: {existing}')
    if len(features[name]) != 1:
        count = len(features[name])
        raise Rejected('unreadable', f'its feature {name} has {count} values; expected one')
    return features[name][0]
