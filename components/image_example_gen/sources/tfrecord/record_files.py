"""TFRecord files: divides them into ranges of records, and reads the records of a range.

A record is its length in 8 bytes, a checksum of that in 4, the payload, and a checksum of it in 4,
all little-endian; a checksum is CRC-32C, masked. See `tensorflow/core/lib/io/record_writer.h`.
The readers of TensorFlow and Beam end at the first damaged record, cannot start at a later one, and
allocate whatever length a record states. This module does not import TensorFlow.
"""

import contextlib
import dataclasses
import gzip
import io
import itertools
import os
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import google_crc32c

from common.errors import DataError, Rejected
from common.files import open_regular
from components.image_example_gen.sources.base.source_protocol import IMAGES_PER_SHARD

_Stream = gzip.GzipFile | io.BufferedReader

_HEAD, _TAIL = struct.Struct('<QI'), struct.Struct('<I')
_GZIP = b'\x1f\x8b\x08'
_BESIDES = 2**20  # bytes of a record besides its image
_RATIO = 200  # unpacked size to file size; more is a decompression bomb
_ALWAYS_ALLOWED = 2**30  # unpacked bytes, whatever the ratio
_MOST_SKIPPED = 2**62  # bytes; `seek` accepts no more than 2**63 - 1


@dataclasses.dataclass(frozen=True)
class RecordRange:
    """Consecutive records of a file."""

    file: Path
    name: str  # relative path
    offset: int  # where the first record begins, in (decompressed) bytes
    first: int  # number of the first record in the file
    count: int


def divide(files: Iterable[Path], root: Path) -> list[RecordRange]:
    """Divides files into ranges of IMAGES_PER_SHARD records; names are relative to `root`.

    Reads the headers of the records only. A compressed file can only be read from its beginning:
    it is read once, and is one range.

    Raises:
        DataError: a file cannot be read, or is damaged between two records.
    """
    ranges = []
    for file in files:
        offsets, count = [], 0
        with _open(file) as stream:
            size = sys.maxsize if isinstance(stream, gzip.GzipFile) else IMAGES_PER_SHARD
            for offset in _offsets(file, stream):
                if count % size == 0:
                    offsets.append(offset)
                count += 1
        name = str(file.relative_to(root))
        for first, offset in zip(range(0, count, size), offsets, strict=True):
            ranges.append(RecordRange(file, name, offset, first, min(size, count - first)))
    return ranges


def read_records(records: RecordRange, max_bytes: int) -> Iterator[bytes | Rejected]:
    """Yields the payload of each record, or an error; reading goes on after a damaged record.

    A record of more than `max_bytes`, the limit of an image, and other features is not read.

    Raises:
        DataError: the file cannot be read, or has changed since it was divided.
    """
    with _open(records.file) as stream:
        stream.seek(records.offset)
        for _ in range(records.count):
            try:
                yield _read_payload(records.file, stream, max_bytes + _BESIDES)
            except Rejected as error:
                yield error


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


def _offsets(file: Path, stream: _Stream) -> Iterator[int]:
    """Yields where each record begins, including a truncated one at the end."""
    start, size = 0, file.stat().st_size
    most = max(_ALWAYS_ALLOWED, _RATIO * size) if isinstance(stream, gzip.GzipFile) else sys.maxsize
    try:
        for number in itertools.count():
            length = _read_length(file, stream)
            if length is None:
                return
            if start + length > most or number > size:
                raise DataError(
                    f'{file} unpacks to more than {_RATIO} times its size, or has more records '
                    'than bytes; it may be a decompression bomb'
                )
            _skip(stream, length)
            yield start
            start = stream.tell()
    except EOFError:
        yield start


def _read_length(file: Path, stream: _Stream) -> int | None:
    """The length of the payload of the next record; None at the end of the file.

    Raises:
        EOFError: the header is truncated.
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


def _skip(stream: _Stream, length: int) -> None:
    """Skips a payload and its checksum; raises EOFError if they are truncated."""
    stream.seek(min(length, _MOST_SKIPPED), os.SEEK_CUR)
    if len(stream.read(_TAIL.size)) < _TAIL.size:
        raise EOFError


def _read_payload(file: Path, stream: _Stream, most: int) -> bytes:
    """Raises Rejected if the record is too large, truncated or damaged."""
    start = stream.tell()
    try:
        length = _read_length(file, stream)
        if length is None:
            raise DataError(f'{file} changed while it was read: it ends before byte {start + 1:,}')
        if length > most:
            _skip(stream, length)
            raise Rejected('too large', f'its record has {length:,} bytes; the limit is {most:,}')
        payload, tail = stream.read(length), stream.read(_TAIL.size)
        if len(tail) < _TAIL.size:
            raise EOFError
    except EOFError:
        detail = f'the file ends in its record, which begins at byte {start:,}'
        raise Rejected('truncated', detail) from None
    if _TAIL.unpack(tail)[0] != _masked_crc32c(payload):
        raise Rejected('damaged', 'the checksum of its record is wrong')
    return payload


def _masked_crc32c(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
