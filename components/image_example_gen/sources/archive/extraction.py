"""Extracts the images of a zip or tar archive into the cache folder.

`tarfile` reads extended headers into memory whatever their size, so this module is run in a
subprocess with a memory limit. It imports little, to start fast.
"""

import errno
import hashlib
import json
import lzma
import os
import resource
import shutil
import stat
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import filelock

from common.errors import DataError
from components.image_example_gen.sources.archive.cache import cache_folder, cache_name
from components.image_example_gen.sources.base.image_files import is_image, is_litter

IMAGES, CONTENTS = 'images', 'contents.json'  # in the folder of an extracted archive
MEMORY = 4 * 2**30  # bytes of address space of the subprocess
_MEMBERS = 5_000_000
_DEPTH = 64  # folders around an image
_RATIO = 200  # unpacked size to archive size; more is a decompression bomb
_ALWAYS_ALLOWED = 2**30  # unpacked bytes, whatever the ratio
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
_ENCRYPTED = 0x1  # bit of a member's flags, see APPNOTE.TXT 4.4.4
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
# Errors for a name that the file system cannot store, or that is both a file and a folder.
_BAD_NAME = {
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.EINVAL,
    errno.EILSEQ,
}
# What the standard library raises for damaged archives.
_DAMAGED = (
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

Place = tuple[str, ...]


def extraction_folder(path: Path) -> Path:
    """Where an archive is extracted to; changes when the file is written again.

    Raises:
        OSError: the file is missing.
    """
    status = path.stat()
    version = f'{status.st_ino} {status.st_size} {status.st_mtime_ns}'
    archive = cache_name(str(path.absolute()), path.name)
    return (
        cache_folder() / 'extracted' / archive / hashlib.sha256(version.encode()).hexdigest()[:16]
    )


def extract_archive(path: Path, target: Path) -> None:
    """Extracts the images atomically, and removes what was extracted of earlier versions.

    Runs that extract the same archive wait for each other, and the first does the work.

    Args:
        path: the archive.
        target: its `extraction_folder`.

    Raises:
        DataError: the file is no archive, is encrypted, damaged or too large, it has a name that
            leads out of it, or it changes meanwhile; or the cache folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f'{target.parent}.lock'):
            if not target.exists():
                _extract(path, target)
    except DataError:
        raise
    except MemoryError:
        raise DataError(
            f'archive {path} needs more than {MEMORY // 2**30} GB of memory to be extracted; '
            'it may be damaged'
        ) from None
    except _DAMAGED as error:
        raise DataError(_explain(path, target.parent, error)) from error


def _explain(path: Path, folder: Path, error: Exception) -> str:
    reason = (getattr(error, 'strerror', None) or str(error) or type(error).__name__).split('\n')[0]
    if isinstance(error, OSError):
        file = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ''
        if error.errno in _DISK_FULL or file.startswith(str(folder)):
            return (
                f'archive {path} cannot be extracted into {folder}: {reason}; '
                'CATDOG_CACHE names another folder'
            )
        if isinstance(error, PermissionError):
            return f'archive {path} cannot be read: {reason}; give yourself the right to read it'
    return f'archive {path} cannot be read, it may be cut off or damaged: {reason.rstrip(":")}'


def _extract(path: Path, target: Path) -> None:
    removed, partial = target.parent / 'removed', target.parent / 'partial'
    shutil.rmtree(removed, ignore_errors=True)
    for earlier in list(target.parent.iterdir()):
        earlier.rename(removed)  # at once, for runs that still read it
        shutil.rmtree(removed)
    try:
        extraction = _Extraction(path, partial / IMAGES)
        extraction.run()
        (partial / CONTENTS).write_text(json.dumps(extraction.contents()))
        if extraction_folder(path) != target:
            raise DataError(f'archive {path} changed while it was read; start again')
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Entry(NamedTuple):
    """A member of an archive.

    Attributes:
        name: as the archive has it, with slashes.
        size: in bytes, unpacked, as the archive says.
        version: its checksum in a zip, its modification time in a tar.
        member: for the reader of the format.
    """

    name: str
    is_folder: bool
    is_file: bool
    size: int
    version: float
    member: Any


class _Extraction:
    """Extracts the images and the folders of one archive; other members are counted."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder = path, folder
        folder.mkdir(parents=True)
        self._free = shutil.disk_usage(folder).free
        self._most = max(_ALWAYS_ALLOWED, _RATIO * path.stat().st_size)
        self._members = self._size = self._ignored = 0
        self._images: dict[Place, tuple[int, float]] = {}
        self._unreadable: dict[Place, str] = {}

    def run(self) -> None:
        if _is_zip(self._path):
            self._extract_zip()
        else:
            self._extract_tar()

    def contents(self) -> dict[str, Any]:
        """The fingerprint, and counts of images and of ignored members; unreadable images."""
        digest = hashlib.sha256()
        for place, (size, version) in sorted(self._images.items()):
            line = f'{"/".join(place)}\0{size}\0{version}\n'
            digest.update(line.encode(errors='surrogateescape'))
        unreadable = sorted(self._unreadable.items())
        return {
            'fingerprint': digest.hexdigest(),
            'images': len(self._images) - len(unreadable),
            'ignored': self._ignored,
            'unreadable': [('/'.join(place), detail) for place, detail in unreadable],
        }

    def _extract_zip(self) -> None:
        with zipfile.ZipFile(self._path) as archive:
            # Of two members with one name the later counts, as in a tar.
            last = dict(self._images_in(_zip_entries(self._path, archive)))
            for place, entry in last.items():
                entry.member.filename = '/'.join(place)
                try:
                    archive.extract(entry.member, self._folder)
                except _DAMAGED as error:
                    if isinstance(error, OSError) and error.errno not in {None, *_BAD_NAME}:
                        raise
                    self._set_unreadable(place, error)

    def _extract_tar(self) -> None:
        with tarfile.open(self._path, 'r:*', tarinfo=_TarInfo) as archive:
            for place, entry in self._images_in(_tar_entries(archive)):
                try:
                    archive.extract(entry.member, self._folder, set_attrs=False, filter='data')
                except (OSError, UnicodeEncodeError) as error:
                    if isinstance(error, OSError) and error.errno not in _BAD_NAME:
                        raise
                    self._set_unreadable(place, error)

    def _set_unreadable(self, place: Place, error: Exception) -> None:
        self._unreadable[place] = getattr(error, 'strerror', None) or str(error)
        file = self._folder.joinpath(*place)
        try:
            file.unlink()
        except (OSError, UnicodeEncodeError):  # it is a folder, or there is no such name
            return

    def _images_in(self, entries: Iterable[_Entry]) -> Iterator[tuple[Place, _Entry]]:
        """Checks each member, makes its folder, and gives it if it is an image."""
        images = 0
        for entry in entries:
            self._require_within_limits(entry)
            place = self._place(entry.name)
            if any(map(is_litter, place)):
                continue
            self._make_folder(place if entry.is_folder else place[:-1])
            if entry.is_file and is_image(entry.name):
                images += entry.size
                if images > self._free:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._images[place] = entry.size, entry.version
                yield place, entry
            elif not entry.is_folder:
                self._ignored += 1

    def _make_folder(self, place: Place) -> None:
        try:
            self._folder.joinpath(*place).mkdir(parents=True, exist_ok=True)
        except UnicodeEncodeError:
            return
        except OSError as error:
            if error.errno not in _BAD_NAME:
                raise

    def _require_within_limits(self, entry: _Entry) -> None:
        self._members += 1
        self._size += entry.size
        if self._members > _MEMBERS:
            raise DataError(f'archive {self._path} has more than {_MEMBERS:,} members; divide it')
        if self._size > self._most:
            raise DataError(
                f'archive {self._path} unpacks to more than {_RATIO} times its size; '
                'it looks like a decompression bomb'
            )

    def _place(self, name: str) -> Place:
        parts = PurePosixPath(name).parts
        if '..' in parts or name.startswith('/') or PureWindowsPath(name).drive:
            raise DataError(
                f'archive {self._path} holds {name!r}, a name that leads out of it; '
                'expected names such as cats/1.jpg'
            )
        if len(parts) > _DEPTH:
            raise DataError(
                f'archive {self._path} holds {name[:80]!r}..., a name with more than {_DEPTH} '
                'folders; expected names such as cats/1.jpg'
            )
        return parts


def _is_zip(path: Path) -> bool:
    """Detects the format by content, because names are often wrong.

    Raises:
        DataError: it is neither a zip nor a tar.
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


def _zip_entries(path: Path, archive: zipfile.ZipFile) -> Iterator[_Entry]:
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
        yield _Entry(name, is_folder, is_file, each.file_size, each.CRC, each)


def _tar_entries(archive: tarfile.TarFile) -> Iterator[_Entry]:
    for each in archive:
        is_file = each.isreg() and not each.issparse()
        yield _Entry(each.name, each.isdir(), is_file, each.size, each.mtime, each)
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


def main(path: str, target: str) -> int:
    """Extracts with limited memory; writes the message of a DataError to standard output."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    memory = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, hard))
    try:
        extract_archive(Path(path), Path(target))
    except DataError as error:
        sys.stdout.write(json.dumps(str(error)))
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
