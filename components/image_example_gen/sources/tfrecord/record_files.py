"""TFRecord files: the offsets of their records, and the records of a range.

A record is its length in 8 bytes, a checksum of that in 4, the payload, and a checksum of it in 4,
all little-endian; a checksum is CRC-32C, masked. See `tensorflow/core/lib/io/record_writer.h`.
The readers of TensorFlow and Beam end at the first damaged record, cannot start at a later one, and
allocate whatever length a record states. This module does not import TensorFlow.
"""

import contextlib
import dataclasses
import gzip
import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import google_crc32c

from common.errors import DataError, RejectionReason

_Stream = gzip.GzipFile | io.BufferedReader

_HEAD, _TAIL = struct.Struct('<QI'), struct.Struct('<I')
_GZIP = b'\x1f\x8b'
_LARGEST = 2**30  # bytes of a record that is read; no image is larger
_MOST_SKIPPED = 2**62  # bytes; `seek` takes no more than 2**63 - 1


@dataclasses.dataclass(frozen=True)
class RecordRange:
    """Consecutive records of a file.

    Attributes:
        offset: of the first, in (decompressed) bytes.
        first: its number in the file.
        count: number of records.
    """

    offset: int
    first: int
    count: int


class BadRecord(NamedTuple):
    """A record that cannot be read.

    Attributes:
        reason: the kind of the problem.
        detail: the problem in one clause.
        contents: the bytes that there are, if they may help.
    """

    reason: RejectionReason
    detail: str
    contents: bytes = b''


def record_ranges(file: Path, size: int) -> list[RecordRange]:
    """Divides a file; reads only the heads of its records, or all of it if it is compressed.

    Args:
        file: TFRecords, with or without gzip.
        size: records of a range; a compressed file, which can only be read from its beginning, is
            one range.

    Raises:
        DataError: the file cannot be read, or is damaged between two records.
    """
    starts, count = [], 0
    with _open(file) as stream:
        compressed = isinstance(stream, gzip.GzipFile)
        for offset in _offsets(file, stream):
            if not count or (not count % size and not compressed):
                starts.append((offset, count))
            count += 1
    size = count if compressed else size
    return [RecordRange(offset, first, min(size, count - first)) for offset, first in starts]


def read_records(file: Path, records: RecordRange) -> Iterator[bytes | BadRecord]:
    """The payloads of a range, in order; reading goes on after a damaged one.

    Raises:
        DataError: the file cannot be read, or has changed since it was divided.
    """
    with _open(file) as stream:
        if not _seek(stream, records.offset):
            raise DataError(f'{file} changed while it was read: it has become shorter')
        for _ in range(records.count):
            yield _read(file, stream)


@contextlib.contextmanager
def _open(file: Path) -> Iterator[_Stream]:
    try:
        with file.open('rb') as raw:
            head = raw.read(_HEAD.size)
            raw.seek(0)
            if head.startswith(_GZIP) and not _is_head(head):
                with gzip.GzipFile(fileobj=raw) as stream:
                    yield stream
            else:
                yield raw
    except (zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f'{file} is damaged: it cannot be decompressed: {error}') from error
    except OSError as error:
        raise DataError(f'{file} cannot be read: {error.strerror or error}') from error


def _offsets(file: Path, stream: _Stream) -> Iterator[int]:
    """Where each record begins, including one that is cut off.

    Raises:
        DataError: no record begins there, or the first is cut off.
    """
    start = 0
    try:
        while (length := _length(file, stream)) is not None:
            end = stream.tell() + length + _TAIL.size
            if not _seek(stream, end):
                raise EOFError
            yield start
            start = end
    except EOFError:
        if not start:
            raise DataError(
                f'{file} is not a whole TFRecord file: it ends in its first record'
            ) from None
        yield start


def _seek(stream: _Stream, offset: int) -> bool:
    """Whether the file is that long.

    Raises:
        EOFError: it is compressed and cut off before.
    """
    if not isinstance(stream, gzip.GzipFile) and offset > os.fstat(stream.fileno()).st_size:
        return False
    return stream.seek(min(offset, _MOST_SKIPPED)) == offset


def _length(file: Path, stream: _Stream) -> int | None:
    """The length of the record that begins here; None at the end of the file.

    Raises:
        EOFError: its head is cut off.
        DataError: no record begins here.
    """
    start = stream.tell()
    head = stream.read(_HEAD.size)
    if not head:
        return None
    if len(head) < _HEAD.size and start:
        raise EOFError
    if not _is_head(head):
        problem = 'is damaged' if start else 'is not a TFRecord file'
        raise DataError(f'{file} {problem}: no record begins at byte {start:,}')
    return int(_HEAD.unpack(head)[0])


def _is_head(head: bytes) -> bool:
    return len(head) == _HEAD.size and _HEAD.unpack(head)[1] == _masked_crc32c(head[:8])


def _read(file: Path, stream: _Stream) -> bytes | BadRecord:
    start, body = stream.tell(), b''
    try:
        length = _length(file, stream)
        if length is None:
            raise DataError(f'{file} changed while it was read: it ends at byte {start:,}')
        if length > _LARGEST:
            if not _seek(stream, stream.tell() + length + _TAIL.size):
                raise EOFError
            return BadRecord('too large', f'its record has {length:,} bytes')
        body = stream.read(length + _TAIL.size)
        if len(body) < length + _TAIL.size:
            raise EOFError
    except EOFError:
        detail = f'the file ends in its record, which begins at byte {start:,}'
        return BadRecord('truncated', detail, body)
    payload = body[:length]
    if _TAIL.unpack(body[length:])[0] != _masked_crc32c(payload):
        return BadRecord('damaged', 'the checksum of its record is wrong', payload)
    return payload


def _masked_crc32c(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
