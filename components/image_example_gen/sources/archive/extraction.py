"""Extracts the images of a zip or tar archive into a folder.

Decompressors, and the directory of a zip, take as much memory as the file asks for, so this module
runs in a `limited_process`. It imports little, to start fast.
"""

import errno
import functools
import itertools
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
from typing import IO, cast

import filelock

from common.errors import DataError
from common.files import open_regular, sha256_of
from components.image_example_gen.sources.base.image_files import is_ignored, is_image

IMAGES, CONTENTS = 'images', 'contents.json'  # in the folder of an extracted archive
_MEMBERS = 2_000_000  # with the folders around them
_DEPTH = 64  # folders around an image
_LONGEST_NAME = 255  # bytes; the limit of Linux
_LONGEST_HEADER = 2**20  # bytes of an extended tar header, such as that of a long name
_RATIO = 200  # unpacked size to archive size; more is a decompression bomb
_ALWAYS_ALLOWED = 2**30  # unpacked bytes, whatever the ratio

_OF_NAMES = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)  # errors of names of files
_EXTENDED = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)

# Name, which ends with a slash for a folder; bytes that reading it unpacks, with headers; and a
# function that opens a regular file, None for links, devices and sparse files.
_Member = tuple[str, int, Callable[[], IO[bytes]] | None]


def extract_archive(path: Path, target: Path) -> None:
    """Extracts the images atomically, and removes the other versions in the parent folder.

    If several runs extract an archive at once, the first does the work and the others wait.

    Raises:
        DataError: the file is not an archive; it is encrypted, damaged or too large, or has a name
            that leads out of it; or the target cannot be written. The message is a clause.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f'{target.parent}.lock'):
            if not target.exists():
                _replace_versions(path, target)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # zipfile and tarfile raise a dozen types for damaged archives
        if isinstance(error, OSError) and error.errno:
            problem = _explain(error, target.parent)
        else:
            reason = (str(error) or type(error).__name__).partition('\n')[0]
            problem = f'{reason}; it may be truncated, damaged or encrypted'
        raise DataError(problem) from error


def _explain(error: OSError, cache: Path) -> str:
    """A clause; another cache folder helps if this one is full or cannot be written."""
    if error.errno in _OF_NAMES:  # without a name, the error is of a position in the archive
        return f'{error.strerror}: {error.filename}' if error.filename else 'it is damaged'
    return f'{error.strerror}, {cache}; CATDOG_CACHE names another folder'


def _replace_versions(path: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as removed:
        for earlier in list(target.parent.iterdir()):  # also the rest of a killed extraction
            if earlier != Path(removed):
                earlier.rename(Path(removed, earlier.name))  # at once, for runs that still read it
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        partial = Path(temporary, 'partial')
        images = _extract_images(path, partial / IMAGES)
        unreadable = {name: problem for name, problem in images.items() if problem}
        contents = {
            'images': len(images) - len(unreadable),
            'unreadable': unreadable,
            'fingerprint': sha256_of(path),
        }
        (partial / CONTENTS).write_text(json.dumps(contents))
        partial.rename(target)


def _extract_images(path: Path, folder: Path) -> dict[str, str | None]:
    """Extracts images, and creates other files empty, so that they are counted.

    Returns:
        The names of the images, each with None, or with the problem if it cannot be extracted.
    """
    with open_regular(path) as archive:
        is_tar = _is_tar(archive)
        if not is_tar and not zipfile.is_zipfile(archive):
            raise DataError('it is truncated or no archive; expected zip, tar, tar.gz, .bz2 or .xz')
        archive.seek(0)
        folder.mkdir(parents=True)
        limit = max(_ALWAYS_ALLOWED, _RATIO * path.stat().st_size)
        images: dict[str, str | None] = {}
        unpacked = members = 0
        for name, size, open_member in _read_tar(archive) if is_tar else _read_zip(archive):
            unpacked += size
            if unpacked > limit:
                raise DataError(
                    f'it unpacks to more than {_RATIO} times its size; it may be a decompression '
                    'bomb'
                )
            if members >= _MEMBERS:
                raise DataError(f'it has more than {_MEMBERS:,} members and folders; divide it')
            members += 1
            place = _place_of(name)
            if any(map(is_ignored, place.parts)):
                continue
            file = folder / place
            try:
                members += _make_folders(file if name.endswith('/') else file.parent)
                if open_member and not name.endswith('/'):
                    problem = _extract_file(name, file, open_member, is_tar)
                    if is_image(name):
                        images[str(place)] = problem
            except (FileExistsError, IsADirectoryError, NotADirectoryError):
                raise DataError(f'it contains {name[:80]!r} as a file and as a folder') from None
        return images


def _place_of(name: str) -> PurePosixPath:
    """The relative path of a member; raises DataError if it leads out, or is too long or deep."""
    place = PurePosixPath(name)
    if '..' in place.parts or place.is_absolute() or PureWindowsPath(name).drive:
        raise DataError(
            f'it contains {name[:80]!r}, a name that leads out of it; expected names such as '
            'cats/1.jpg'
        )
    if len(place.parts) > _DEPTH:
        raise DataError(f'it contains {name[:80]!r}..., more than {_DEPTH} folders deep')
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in place.parts):
        raise DataError(f'it contains {name[:80]!r}..., a name of more than {_LONGEST_NAME} bytes')
    return place


def _make_folders(folder: Path) -> int:
    """Creates a folder and its parents; returns the number of new ones."""
    missing = list(itertools.takewhile(lambda each: not each.exists(), (folder, *folder.parents)))
    folder.mkdir(parents=True, exist_ok=True)
    return len(missing)


def _extract_file(
    name: str, file: Path, open_member: Callable[[], IO[bytes]], is_tar: bool
) -> str | None:
    """Extracts an image, or creates another file empty; returns the problem of a damaged image."""
    if not is_image(name):
        file.touch()
        return None
    try:
        with open_member() as source, file.open('wb') as target:
            shutil.copyfileobj(source, target)
    except (EOFError, zipfile.BadZipFile, zlib.error) as error:
        if is_tar:  # compressed as a whole
            raise
        file.unlink(missing_ok=True)
        return str(error)
    return None


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
            name = info.filename.replace('\\', '/')  # written by some programs on Windows
            is_file = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)  # 0: not from Unix
            yield name, info.file_size, functools.partial(archive.open, info) if is_file else None


def _read_tar(file: IO[bytes]) -> Iterator[_Member]:
    with tarfile.open(fileobj=file, mode='r:*', tarinfo=_StrictTarInfo) as archive:
        end = 0
        for info in archive:
            start, end = end, info.offset_data + info.size
            name = f'{info.name}/' if info.isdir() else info.name
            contents = cast(Callable[[], IO[bytes]], functools.partial(archive.extractfile, info))
            size = end - start  # of a sparse file it says more than the archive holds
            yield name, size, contents if info.isreg() and not info.issparse() else None
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps them all, 1 kB each


class _StrictTarInfo(tarfile.TarInfo):
    """Raises for headers that are truncated and damaged, which tarfile takes for the end, or large.

    tarfile reads extended headers into memory, and goes back by a negative size, without end.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0:
            raise tarfile.ReadError('a member has a negative size')
        if self.type in _EXTENDED and self.size > _LONGEST_HEADER:
            raise DataError(f'it has a header of {self.size:,} bytes, such as a name')
        return super()._proc_member(archive)  # type: ignore[misc]

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> '_StrictTarInfo':
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f'no complete header at {tarfile_.offset}: {error}') from None
