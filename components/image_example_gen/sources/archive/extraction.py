"""Extracts the images of a zip or tar archive into a folder.

Decompressors, and the directory of a zip, take as much memory as the file asks for, so this module
runs in a subprocess with a memory limit. It imports little, to start fast.
"""

import functools
import json
import resource
import shutil
import stat
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, cast

import filelock

from common.errors import DataError
from common.files import MEGABYTE, sha256_of
from components.image_example_gen.sources.base.image_files import is_ignored, is_image

IMAGES, CONTENTS = 'images', 'contents.json'  # in the folder of an extracted archive
_MEMORY = 1400 * MEGABYTE  # of address space of the subprocess
_MEMBERS = 2_000_000
_DEPTH = 64  # folders around an image
_LONGEST_HEADER = 2**20  # bytes of an extended tar header, such as that of a long name
_RATIO = 200  # unpacked size to archive size; more is a decompression bomb
_ALWAYS_ALLOWED = 2**30  # unpacked bytes, whatever the ratio

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
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f'it needs more than {_MEMORY / MEGABYTE:,.0f} MB of memory') from error
    except Exception as error:  # zipfile and tarfile raise a dozen types for damaged archives
        if isinstance(error, OSError) and error.errno:
            problem = f'{error.strerror}, {target.parent}; CATDOG_CACHE names another folder'
        else:
            reason = (str(error) or type(error).__name__).partition('\n')[0]
            problem = f'{reason}; it may be truncated, damaged or encrypted'
        raise DataError(problem) from error


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
    is_tar = _is_tar(path)
    if not is_tar and not zipfile.is_zipfile(path):
        raise DataError('it is truncated or no archive; expected zip, tar, tar.gz, .bz2 or .xz')
    folder.mkdir(parents=True)
    limit = max(_ALWAYS_ALLOWED, _RATIO * path.stat().st_size)
    images: dict[str, str | None] = {}
    unpacked = 0
    for number, (name, size, open_member) in enumerate(
        _read_tar(path) if is_tar else _read_zip(path)
    ):
        unpacked += size
        if number >= _MEMBERS:
            raise DataError(f'it has more than {_MEMBERS:,} members; divide it')
        if unpacked > limit:
            raise DataError(
                f'it unpacks to more than {_RATIO} times its size; it may be a decompression bomb'
            )
        place = PurePosixPath(name)
        if '..' in place.parts or place.is_absolute() or PureWindowsPath(name).drive:
            raise DataError(
                f'it contains {name!r}, a name that leads out of it; expected names such as '
                'cats/1.jpg'
            )
        if len(place.parts) > _DEPTH:
            raise DataError(f'it contains {name[:80]!r}..., more than {_DEPTH} folders deep')
        if any(map(is_ignored, place.parts)):
            continue
        file = folder / place
        (file if name.endswith('/') else file.parent).mkdir(parents=True, exist_ok=True)
        if name.endswith('/') or not open_member:
            continue
        if not is_image(name):
            file.touch()
            continue
        images[str(place)] = None
        try:
            with open_member() as source, file.open('wb') as target:
                shutil.copyfileobj(source, target)
        except (EOFError, zipfile.BadZipFile, zlib.error) as error:
            if is_tar:  # compressed as a whole
                raise
            file.unlink(missing_ok=True)
            images[str(place)] = str(error)
    return images


def _is_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, tarinfo=_StrictTarInfo):  # `is_tarfile` reads any first header
            return True
    except tarfile.TarError:
        return False


def _read_zip(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.replace('\\', '/')  # written by some programs on Windows
            is_file = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)  # 0: not from Unix
            yield name, info.file_size, functools.partial(archive.open, info) if is_file else None


def _read_tar(path: Path) -> Iterator[_Member]:
    with tarfile.open(path, 'r:*', tarinfo=_StrictTarInfo) as archive:
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


def main(path: str, target: str) -> None:
    """Extracts with limited memory; exits with the message of a DataError."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    memory = _MEMORY if hard == resource.RLIM_INFINITY else min(_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, hard))
    try:
        extract_archive(Path(path), Path(target))
    except DataError as error:
        sys.exit(str(error))


if __name__ == '__main__':
    main(*sys.argv[1:])
