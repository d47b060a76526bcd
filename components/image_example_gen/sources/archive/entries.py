"""The members of zip and tar archives, in one form for both. Imports little, to start fast."""

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import DataError

# What the standard library raises for damaged archives.
DAMAGED = (
    OSError,
    EOFError,
    OverflowError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_ENCRYPTED = 0x1  # bit of a member's flags, see APPNOTE.TXT 4.4.4


class Entry(NamedTuple):
    """A member of an archive.

    Attributes:
        name: as in the archive, with slashes.
        is_folder: whether it is a folder.
        is_file: whether it is a regular file; links, devices and sparse files are not.
        size: in bytes, unpacked, as the archive says.
        version: its checksum in a zip, its modification time in a tar.
        member: a ZipInfo or TarInfo.
    """

    name: str
    is_folder: bool
    is_file: bool
    size: int
    version: float
    member: Any


def is_zip(path: Path) -> bool:
    """Detects the format, zip or tar, by content, because names are often wrong.

    Raises:
        DataError: it is neither.
    """
    with path.open('rb') as file:
        head = file.read(tarfile.BLOCKSIZE)
    if head.startswith((b'\x1f\x8b', b'BZh', b'\xfd7zXZ\0')) or head.startswith(b'ustar', 257):
        return False
    if head.startswith(b'PK') or zipfile.is_zipfile(path):  # maybe a self-extracting program
        return True
    if tarfile.is_tarfile(path):  # from before 1988
        return False
    raise DataError(
        f'{path} is no archive that can be read; expected zip, tar, tar.gz, .bz2 or .xz'
    )


def zip_entries(path: Path, archive: zipfile.ZipFile) -> Iterator[Entry]:
    """Raises DataError for an archive that is encrypted, or compressed with an unknown method."""
    for each in archive.infolist():
        kind = stat.S_IFMT(each.external_attr >> 16)  # 0 if not made on Unix
        name = each.filename.replace('\\', '/')  # some programs on Windows write these
        is_folder = name.endswith('/')
        if each.flag_bits & _ENCRYPTED:
            raise DataError(f'archive {path} is encrypted; give one without a password')
        if each.compress_type not in _METHODS:
            raise DataError(
                f'archive {path} is compressed with method {each.compress_type}, which Python '
                'does not know; make it again with the usual one (deflate)'
            )
        is_file = not is_folder and kind in (0, stat.S_IFREG)
        yield Entry(name, is_folder, is_file, each.file_size, each.CRC, each)


def open_tar(path: Path) -> tarfile.TarFile:
    """A tar file for reading, compressed or not; raises one of DAMAGED."""
    return tarfile.open(path, 'r:*', tarinfo=_TarInfo)


def tar_entries(archive: tarfile.TarFile) -> Iterator[Entry]:
    """The members, one by one; they are read from the file as the iteration proceeds."""
    for each in archive:
        is_file = each.isreg() and not each.issparse()
        yield Entry(each.name, each.isdir(), is_file, each.size, each.mtime, each)
        archive.members = []  # type: ignore[attr-defined]  # tarfile keeps them all, 1 kB each


class _TarInfo(tarfile.TarInfo):
    """Raises for headers that are cut off or damaged; tarfile takes both for the end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> '_TarInfo':
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(
                f'there is no whole header at {tarfile_.offset}: {error}'
            ) from None
