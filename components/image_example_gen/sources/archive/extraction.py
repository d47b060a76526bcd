"""Extracts the images and tables of a zip or tar archive into a folder.

Decompressors, and the directory of a zip, take as much memory as the file asks for, so this module
runs in a limited subprocess. It imports little, to start fast.
"""

import errno
import functools
import json
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple, cast

import filelock

from common.errors import DataError
from common.files import open_regular, sha256_of
from components.image_example_gen.sources.base.listing import is_ignored, is_image

IMAGES, CONTENTS = 'images', 'contents.json'  # in the folder of an extracted archive
_TABLES = ('.csv', '.tsv', '.txt')
_MEMBERS = 2_000_000  # with the folders around them
_RATIO = 200  # unpacked size to archive size; more is a decompression bomb
_ALWAYS_ALLOWED = 2**30  # unpacked bytes, whatever the ratio


class _Member(NamedTuple):
    name: str
    size: int  # bytes that reading it unpacks, with headers
    is_file: bool  # not a folder, a device or a symbolic link
    open: Callable[[], IO[bytes]]
    link: str | None = None  # an earlier member, to which it is a hard link


def extract_archive(path: Path, target: Path) -> None:
    """Extracts the images atomically, and removes the other versions in the parent folder.

    If several runs extract an archive at once, the first does the work and the others wait.

    Raises:
        DataError: the file is not an archive; it is encrypted, damaged or too large, or has a name
            that leads out of it or is not UTF-8; or the target cannot be written. The message is a
            clause.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f'{target.parent}.lock'):
            if not target.exists():
                _replace_versions(path, target)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # zipfile and tarfile raise a dozen types for damaged archives
        reason = (str(error) or type(error).__name__).partition('\n')[0]
        problem = f'{reason}; it may be truncated, damaged or encrypted'
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            place = error.filename or target
            problem = f'{error.strerror}: {place}; CATDOG_CACHE names another folder'
        raise DataError(problem) from error


def _replace_versions(path: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as removed:
        for earlier in list(target.parent.iterdir()):  # also the rest of a killed extraction
            if earlier != Path(removed):
                earlier.rename(Path(removed, earlier.name))  # at once, for runs that still read it
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        partial = Path(temporary, 'partial')
        images, unreadable = _extract(path, partial / IMAGES)
        contents = {'images': images, 'unreadable': unreadable, 'fingerprint': sha256_of(path)}
        (partial / CONTENTS).write_text(json.dumps(contents), encoding='utf-8')
        partial.rename(target)


def _extract(path: Path, folder: Path) -> tuple[int, dict[str, str]]:
    """Returns the number of extracted images, and why others cannot be extracted, by name."""
    unreadable: dict[str, str] = {}
    images, folders = set[PurePosixPath](), {PurePosixPath()}
    unpacked = 0
    with open_regular(path) as archive:
        is_tar = _is_tar(archive)
        if not is_tar and not zipfile.is_zipfile(archive):
            raise DataError('it is truncated or no archive; expected zip, tar, tar.gz, .bz2 or .xz')
        archive.seek(0)
        folder.mkdir(parents=True)
        limit = max(_ALWAYS_ALLOWED, _RATIO * path.stat().st_size)
        for number, member in enumerate(_read_tar(archive) if is_tar else _read_zip(archive), 1):
            unpacked += member.size
            if unpacked > limit:
                raise DataError(
                    f'it unpacks to more than {_RATIO} times its size; it may be a decompression '
                    'bomb'
                )
            place = _place_of(member.name)
            folders.update(place.parents)
            if number + len(folders) > _MEMBERS:
                raise DataError(f'it has more than {_MEMBERS:,} members and folders; divide it')
            is_used = is_image(place.name) or place.suffix.lower() in _TABLES
            if not is_used or not member.is_file or any(map(is_ignored, place.parts)):
                continue
            try:
                problem = _write(member, folder, place)
            except (FileExistsError, IsADirectoryError, NotADirectoryError):
                raise DataError(
                    f'it contains {str(place)[:80]!r} as a file and as a folder'
                ) from None
            except (EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
                if is_tar:  # compressed as a whole
                    raise
                problem = str(error)
                (folder / place).unlink(missing_ok=True)
            if is_image(place.name):
                images.add(place)
                unreadable.pop(str(place), None)
                if problem:
                    unreadable[str(place)] = problem
    return len(images) - len(unreadable), unreadable


def _write(member: _Member, folder: Path, place: PurePosixPath) -> str | None:
    """Returns the problem of a hard link to a member that is not extracted."""
    file = folder / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)  # a later member replaces an earlier one
    if member.link is None:
        with member.open() as source, file.open('wb') as target:
            shutil.copyfileobj(source, target)
        return None
    try:
        os.link(folder / _place_of(member.link), file, follow_symlinks=False)
    except FileNotFoundError:
        return f'it is a link to {member.link[:80]!r}, which is not extracted'
    return None


def _place_of(name: str) -> PurePosixPath:
    """The relative path of a member; raises DataError if it leads out of the archive."""
    place = PurePosixPath(name)
    if '..' in place.parts or place.is_absolute() or PureWindowsPath(name).drive:
        raise DataError(
            f'it contains {name[:80]!r}, a name that leads out of it; expected names such as '
            'cats/1.jpg'
        )
    return place


def _is_tar(archive: IO[bytes]) -> bool:
    try:
        # `is_tarfile` reads any first header
        with tarfile.open(fileobj=archive, tarinfo=_StrictTarInfo):
            return True
    except tarfile.TarError:
        return False
    finally:
        archive.seek(0)


def _read_zip(file: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = _name_in_zip(info).replace('\\', '/')  # written by some programs on Windows
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0: not from Unix
            is_file = kind in (0, stat.S_IFREG) and not name.endswith('/')
            yield _Member(name, info.file_size, is_file, functools.partial(archive.open, info))


def _name_in_zip(info: zipfile.ZipInfo) -> str:
    """MacOS writes UTF-8 without the flag of UTF-8, others the code page of their computer."""
    if info.flag_bits & 0x800:
        return info.filename
    name = info.orig_filename.encode('cp437')
    try:
        return name.decode().partition('\0')[0]
    except UnicodeDecodeError:
        raise DataError(
            f'its name {name[:80]!r} is not UTF-8; extract it where it was packed and give the '
            'folder, or pack it again with names in UTF-8'
        ) from None


def _read_tar(file: IO[bytes]) -> Iterator[_Member]:
    with tarfile.open(fileobj=file, mode='r:*', tarinfo=_StrictTarInfo) as archive:
        end = 0
        for info in archive:
            start, end = end, info.offset_data + info.size
            if end < start:  # tarfile would read the same members again and again
                raise tarfile.ReadError('a member has a negative size')
            is_file = info.islnk() or (info.isreg() and not info.issparse())
            contents = cast(Callable[[], IO[bytes]], functools.partial(archive.extractfile, info))
            link = info.linkname if info.islnk() else None
            yield _Member(info.name, end - start, is_file, contents, link)
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps them all, 1 kB each


class _StrictTarInfo(tarfile.TarInfo):
    """Raises for headers that are truncated and damaged, which tarfile takes for the end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> '_StrictTarInfo':
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f'no complete header at {tarfile_.offset}: {error}') from None
