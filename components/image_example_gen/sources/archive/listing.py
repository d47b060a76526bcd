"""What is in a zip or tar archive, from its directory or headers; no image is read.

The directory of a zip file stands at its end, so it is quick. A tar file has a header before each
member: all headers are visited, and a compressed one is unpacked for that, in memory, a few
kilobytes at a time.
"""

import enum
import functools
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from common.errors import DataError
from components.image_example_gen.sources.base.image_files import is_image, is_litter
from components.image_example_gen.sources.base.layout import Found, Place
from components.image_example_gen.sources.base.members import BROKEN, told

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_ENCRYPTED = 0x1  # bit of a member's flags, as APPNOTE.TXT 4.4.4 has it


class Format(enum.Enum):
    """How an archive can be read: a compressed tar only from its beginning."""

    ZIP = 'zip'
    TAR = 'tar'
    COMPRESSED_TAR = 'compressed tar'


_BEGINNINGS = (  # offset, bytes there
    (257, b'ustar', Format.TAR),
    (0, b'\x1f\x8b', Format.COMPRESSED_TAR),
    (0, b'BZh', Format.COMPRESSED_TAR),
    (0, b'\xfd7zXZ\0', Format.COMPRESSED_TAR),
    (0, b'PK', Format.ZIP),
)


class Entry(NamedTuple):
    """An image in an archive.

    Attributes:
        size: in bytes, unpacked, as the archive says.
        key: of a zip, its number in the directory; of a tar, where its bytes begin, unpacked.
        note: of a zip, its checksum; of a tar, the time when it was last written.
    """

    size: int
    key: int
    note: float


class Listing(NamedTuple):
    """The images of an archive; `found.images` and `entries` have the same order."""

    format: Format
    found: Found
    entries: tuple[Entry, ...]


Version = tuple[int, int, int]


def version(path: Path) -> Version:
    """Another one when the file is written again. Raises OSError if it is gone."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def list_archive(path: Path) -> Listing:
    """Lists the images; what was listed once is remembered while the file stays as it is.

    Raises:
        DataError: the file is missing, is no archive, is encrypted or not whole, or a name in it
            leads out of it.
    """
    try:
        if not path.is_file():
            raise DataError(f'archive {path} does not exist; give a file (zip, tar, tar.gz, ...)')
        return _list(path, version(path))
    except PermissionError as error:
        raise DataError(
            f'archive {path} cannot be read: {told(error)}; give yourself the right to read it'
        ) from error
    except BROKEN as error:
        reason = told(error).partition('\n')[0].rstrip(':')
        raise DataError(
            f'archive {path} cannot be read, it may be cut off or damaged: {reason}'
        ) from error


@functools.lru_cache(maxsize=2)  # a run asks several times
def _list(path: Path, _: Version) -> Listing:
    kind = _format(path)
    if kind is Format.ZIP:
        return _listing(path, kind, _zip_members(path))
    with opened_tar(path) as archive:
        members = (
            _Member(
                each.name,
                each.isdir(),
                each.isreg() and not each.issparse(),
                Entry(each.size, each.offset_data, each.mtime),
            )
            for each in tar_entries(archive)
        )
        return _listing(path, kind, members)


def _format(path: Path) -> Format:
    """By what is in the file: names are often wrong."""
    with path.open('rb') as file:
        head = file.read(tarfile.BLOCKSIZE)
    for offset, beginning, kind in _BEGINNINGS:
        if head.startswith(beginning, offset):
            return kind
    if zipfile.is_zipfile(path):  # behind a program that unpacks it
        return Format.ZIP
    if tarfile.is_tarfile(path):  # of before 1988
        return Format.TAR
    raise DataError(
        f'{path} is no archive that can be read; expected zip, tar, tar.gz, .bz2 or .xz'
    )


class _Member(NamedTuple):
    name: str
    is_folder: bool
    is_file: bool
    entry: Entry


def _listing(path: Path, kind: Format, members: Iterable[_Member]) -> Listing:
    images: dict[Place, Entry] = {}  # of two with one name the later counts, as when extracted
    folders: set[Place] = set()
    ignored = 0
    for name, is_folder, is_file, entry in members:
        place = _place(path, name)
        if any(map(is_litter, place)):
            continue
        if is_file and is_image(name):
            images[place] = entry
        elif not is_folder:
            ignored += 1
        holders = place if is_folder else place[:-1]
        folders.update(holders[:depth] for depth in range(1, len(holders) + 1))
    order = sorted(images)
    return Listing(kind, Found(order, folders, ignored), tuple(images[place] for place in order))


def _place(path: Path, name: str) -> Place:
    parts = PurePosixPath(name).parts
    if '..' in parts or name.startswith('/') or PureWindowsPath(name).drive:
        raise DataError(
            f'archive {path} holds {name!r}, a name that leads out of it; '
            'expected names such as cats/1.jpg'
        )
    return parts


def _zip_members(path: Path) -> Iterator[_Member]:
    for number, each in enumerate(opened_zip(path, version(path)).infolist()):
        kind = stat.S_IFMT(each.external_attr >> 16)  # 0 where it was not made on Unix
        name = each.filename.replace('\\', '/')  # some programs on Windows write these
        is_folder = name.endswith('/')
        if each.flag_bits & _ENCRYPTED:
            raise DataError(f'archive {path} is encrypted; give one without a password')
        if each.compress_type not in _METHODS:
            raise DataError(
                f'archive {path} is compressed with method {each.compress_type}, which Python '
                'does not know; make it again with the usual one (deflate)'
            )
        yield _Member(
            name,
            is_folder,
            not is_folder and kind in (0, stat.S_IFREG),
            Entry(each.file_size, number, each.CRC),
        )


@functools.lru_cache(maxsize=1)  # each shard would read the whole directory again
def opened_zip(path: Path, _: Version) -> zipfile.ZipFile:
    """A zip file for reading; it is closed when nobody uses it and another one was asked for."""
    return zipfile.ZipFile(path)


class _TarInfo(tarfile.TarInfo):
    """Says when headers end too early or are damaged; tarfile takes both for the end."""

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


def opened_tar(path: Path) -> tarfile.TarFile:
    """A tar file for reading, compressed or not; raises one of BROKEN."""
    return tarfile.open(path, 'r:*', tarinfo=_TarInfo)


def tar_entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members one by one; unlike tarfile's own iteration it does not keep them all."""
    for entry in archive:
        yield entry
        archive.members = []  # type: ignore[attr-defined]
