"""TFRecord files: where their records lie, and these one after the other. Imports no TensorFlow.

A record is its length in 8 bytes, a checksum of that in 4, the payload, and a checksum of it in 4,
all little-endian; a checksum is CRC-32C, masked. See `tensorflow/core/lib/io/record_writer.h`.
TensorFlow's own readers end at the first record that is broken, and cannot start at a later one.
"""

import contextlib
import dataclasses
import gzip
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import google_crc32c

from common.errors import DataError, RejectionReason

_HEAD, _TAIL = struct.Struct('<QI'), struct.Struct('<I')
_GZIP = b'\x1f\x8b'
_CHUNK = 2**20
_LARGEST = 2**30  # bytes of a record that is read: no image is larger, and memory has an end


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Records of a file that follow each other.

    Attributes:
        offset: of the first, in bytes.
        first: its number in the file.
        count: how many.
    """

    offset: int
    first: int
    count: int


class Broken(NamedTuple):
    """A record that cannot be read.

    Attributes:
        reason: what is wrong, by its kind.
        detail: the same in one clause.
        contents: what there is of it, where that may help.
    """

    reason: RejectionReason
    detail: str
    contents: bytes = b''


def stretches(file: Path, size: int) -> list[Stretch]:
    """Divides a file; reads the heads of its records alone, or all of it where it is compressed.

    Args:
        file: of records, compressed by gzip or not.
        size: records of a stretch; a compressed file, which can only be read from its beginning,
            is one.

    Raises:
        DataError: the file cannot be read, or what is in it are no records.
    """
    starts, count = [], 0
    with _open(file) as reader:
        for offset in _offsets(reader):
            if not count or (not count % size and not reader.compressed):
                starts.append(Stretch(offset, count, size))
            count += 1
        size = count if reader.compressed else size
    return [dataclasses.replace(each, count=min(size, count - each.first)) for each in starts]


def records(file: Path, stretch: Stretch) -> Iterator[bytes | Broken]:
    """The payloads of a stretch, in order; a broken one does not end it.

    Raises:
        DataError: the file cannot be read, or has changed since it was divided.
    """
    with _open(file) as reader:
        reader.skip(stretch.offset)
        for _ in range(stretch.count):
            yield _read(reader)


class _Reader:
    """A file from its beginning to its end.

    Attributes:
        file: which.
        compressed: whether it is.
        offset: where it stands, in bytes of what it decompresses to.
        cut_off: whether its compressed end is missing, as far as it was read.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.offset, self.cut_off = file, 0, False
        self._raw = file.open('rb', buffering=0)
        head = self._raw.read(_HEAD.size)
        self._raw.seek(0)
        self.compressed = head.startswith(_GZIP) and not _is_head(head)
        self._stream = gzip.GzipFile(fileobj=self._raw) if self.compressed else self._raw
        self._size = file.stat().st_size

    def close(self) -> None:
        self._stream.close()
        self._raw.close()

    def take(self, size: int) -> bytes:
        """As many bytes, or those that are left."""
        parts: list[bytes] = []
        try:
            while size and (part := self._stream.read(min(size, _CHUNK))):
                parts.append(part)
                size -= len(part)
                self.offset += len(part)
        except EOFError:  # of what is compressed; `gzip` keeps some bytes before it to itself
            self.cut_off = True
        except (zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f'{self.file} is damaged: it cannot be decompressed beyond byte {self.offset:,}'
            ) from error
        return b''.join(parts)

    def skip(self, size: int) -> bool:
        """Passes over as many bytes; whether they are all there."""
        if self.compressed:
            while size and (passed := len(self.take(min(size, _CHUNK)))):
                size -= passed
            return not size
        if self.offset + size > self._size:
            return False
        self.offset = self._stream.seek(self.offset + size)
        return True


@contextlib.contextmanager
def _open(file: Path) -> Iterator[_Reader]:
    try:
        with contextlib.closing(_Reader(file)) as reader:
            yield reader
    except OSError as error:
        raise DataError(f'{file} cannot be read: {error.strerror or error}') from error


def _offsets(reader: _Reader) -> Iterator[int]:
    """Where each record begins, one that is cut off included.

    Raises:
        DataError: something else begins there, or the first record is cut off.
    """
    while True:
        start = reader.offset
        length = _length(reader)
        if length is None:
            return
        whole = length >= 0 and reader.skip(length + _TAIL.size)
        if not whole and not start:
            raise DataError(
                f'{reader.file} is not a whole TFRecord file: it ends in its first record'
            )
        yield start
        if not whole:
            return


def _length(reader: _Reader) -> int | None:
    """Of the record that begins here; -1 if its head is cut off, None at the end of the file.

    Raises:
        DataError: no record begins here.
    """
    start = reader.offset
    head = reader.take(_HEAD.size)
    if not head and not reader.cut_off:
        return None
    if len(head) < _HEAD.size and start:
        return -1
    if not _is_head(head):
        what = 'is damaged' if start else 'is not a TFRecord file'
        raise DataError(f'{reader.file} {what}: no record begins at byte {start:,}')
    return int(_HEAD.unpack(head)[0])


def _is_head(head: bytes) -> bool:
    return len(head) == _HEAD.size and _HEAD.unpack(head)[1] == _masked(head[:8])


def _read(reader: _Reader) -> bytes | Broken:
    start = reader.offset
    cut = f'the file ends in its record, which begins at byte {start:,}'
    length = _length(reader)
    if length is None:
        raise DataError(f'{reader.file} changed while it was read: it ends at byte {start:,}')
    if length > _LARGEST:
        if reader.skip(length + _TAIL.size):
            return Broken('too large', f'its record has {length:,} bytes')
        return Broken('truncated', cut)
    body = reader.take(length + _TAIL.size) if length >= 0 else b''
    if len(body) < length + _TAIL.size:
        return Broken('truncated', cut, body)
    payload = body[:length]
    if _TAIL.unpack(body[length:])[0] != _masked(payload):
        return Broken('damaged', 'the checksum of its record is wrong', payload)
    return payload


def _masked(data: bytes) -> int:
    """The checksum of some bytes as it is stored."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
