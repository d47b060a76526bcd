"""Lists and reads the files of a folder. Does not import TensorFlow."""

import errno
import hashlib
import importlib.util
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from common.errors import DataError, Rejected
from components.image_example_gen.sources.base.reading import (
    READ_ERRORS,
    convert_os_errors,
    error_text,
    read_file,
)

_HEIC = ('.heic', '.heif', '.hif')
IMAGE_SUFFIXES = frozenset(
    {'.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.gif', '.webp', '.bmp', '.tif', '.tiff', '.avif'}
).union(_HEIC)
PARQUET_SUFFIXES = frozenset({'.parquet'})
RECORDS = re.compile(r'.*(\.(tfrecords?|tfrec)|-\d+-of-\d+)(\.gz)?', re.IGNORECASE)
# Of desktops, network storage and file systems; hidden ones are ignored as well.
_IGNORED = frozenset(
    {'thumbs.db', 'desktop.ini', '__macosx', '@eadir', '#recycle', '#snapshot', '$recycle.bin'}
).union({'system volume information', 'lost+found'})
_VISITS = 64  # of a folder, through different links
_DEPTH = 200  # levels of folders


class File(NamedTuple):
    """One file of a folder."""

    name: str  # relative path, with slashes
    size: int = 0  # bytes when it was listed
    stamp: str = ''  # time of modification and permissions, or ETag


class Listing(NamedTuple):
    """The files of a folder at any depth, without hidden ones."""

    files: list[File]  # sorted by name
    folders: list[str]  # relative paths


class Folder(Protocol):
    """A folder on a disk, or a prefix of object storage; can be pickled."""

    def walk(
        self, accept: Callable[[str], bool] = ...
    ) -> Iterator[tuple[str, list[str], Iterator[File]]]:
        """Yields each folder, relative and before its subfolders, with their sorted names, and
        the files whose names are accepted.
        """
        ...

    def read(self, files: Sequence[File], max_bytes: int) -> Iterator[bytes | Rejected]:
        """Yields the contents of files in order.

        An unreadable file, or one with more than `max_bytes`, is yielded as Rejected. Raises
        DataError if the folder cannot be read any more.
        """
        ...


def is_image(name: str) -> bool:
    """Whether a file name has the suffix of an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122  much faster


def is_ignored(name: str) -> bool:
    """Whether a file or folder is hidden, or is left by a system, such as `Thumbs.db`."""
    return name.startswith('.') or name.lower() in _IGNORED


def list_files(folder: Folder, accept: Callable[[str], bool] = is_image) -> Listing:
    """Lists the files whose names are accepted; raises DataError if a folder cannot be read."""
    files: list[File] = []
    folders: list[str] = []
    with convert_os_errors():
        for here, names, found in folder.walk(accept):
            folders.extend(f'{here}/{name}' if here else name for name in names)
            files.extend(found)
    return Listing(sorted(files), folders)


def local_files(path: Path, accept: Callable[[str], bool]) -> list[File]:
    """The files below a folder, or one file; raises DataError if they cannot be read."""
    with convert_os_errors():
        if not path.is_dir():
            return [file_of(path.name, path.stat())]
    return list_files(LocalFolder(path), accept).files


def files_in(folder: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """Yields the files with one of the suffixes (in any case) at any depth, folder by folder.

    Raises OSError if a folder cannot be read.
    """
    for _, _, files in LocalFolder(folder).walk(lambda n: Path(n).suffix.lower() in suffixes):
        yield from filter(Path.is_file, (folder / file.name for file in files))


def fingerprint_of(files: Iterable[File], *others: object) -> str:
    """A digest of names, sizes and stamps of files, and of other values; read no file.

    It changes when a decoder for HEIC is installed, if there are such files.
    """
    digest = hashlib.sha256()
    needs_heic = False
    for name, size, stamp in files:
        digest.update(f'{name}\0{size}\0{stamp}\n'.encode(errors='surrogateescape'))
        needs_heic = needs_heic or name.lower().endswith(_HEIC)
    if needs_heic and importlib.util.find_spec('pillow_heif'):
        others = (*others, 'heic')
    digest.update(repr(others).encode(errors='surrogateescape'))
    return digest.hexdigest()


class LocalFolder(NamedTuple):
    """A folder on a disk that all workers see.

    Follows links, except to a parent folder. A folder that several links lead to is visited through
    each of them, up to _VISITS times: linked folders with links may double at each level.
    """

    path: Path

    def walk(
        self, accept: Callable[[str], bool] = is_image
    ) -> Iterator[tuple[str, list[str], Iterator[File]]]:
        """Raises OSError if a folder cannot be read, or is more than _DEPTH deep."""
        visits: Counter[tuple[int, int]] = Counter()
        left = ['']
        while left:
            here = left.pop()
            place = os.path.join(self.path, here) if here else str(self.path)  # noqa: PTH118
            status = os.stat(place)  # noqa: PTH116
            visits[status.st_dev, status.st_ino] += 1
            if visits[status.st_dev, status.st_ino] > _VISITS:
                raise OSError(errno.ELOOP, f'links lead to it more than {_VISITS} times', place)
            with os.scandir(place) as found:
                entries = sorted((e for e in found if not is_ignored(e.name)), key=_name)
            folders = [entry.name for entry in entries if _is_folder(entry)]
            if folders and here.count('/') >= _DEPTH:
                problem = f'folders are nested more than {_DEPTH} deep; move the images up'
                raise OSError(errno.ENAMETOOLONG, problem, str(self.path))
            prefix = f'{here}/' if here else ''
            yield here, folders, _files(prefix, entries, accept)
            left += [prefix + name for name in reversed(folders)]

    def read(self, files: Sequence[File], max_bytes: int) -> Iterator[bytes | Rejected]:
        for file in files:
            try:
                yield read_file(self.path / file.name, max_bytes)
            except Rejected as error:
                yield error
            except READ_ERRORS as error:
                if not self.path.is_dir():
                    raise DataError(
                        f'{self.path} is gone: it was removed or replaced during the run, or is '
                        'not on a disk that every worker sees; start again'
                    ) from error
                yield Rejected('unreadable', f'it cannot be read: {error_text(error)}')


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        if not entry.is_dir():
            return False
    except OSError:  # a link to itself
        return False
    parent = Path(entry.path).parent
    return not entry.is_symlink() or not parent.resolve().is_relative_to(Path(entry).resolve())


def _files(
    prefix: str, entries: Iterable[os.DirEntry[str]], accept: Callable[[str], bool]
) -> Iterator[File]:
    for entry in entries:
        if accept(entry.name):
            try:
                status = entry.stat()
            except OSError:  # a broken link is an unreadable file
                status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
                yield file_of(prefix + entry.name, status)


def file_of(name: str, status: os.stat_result) -> File:
    """A file on a disk, with its stamp."""
    # Without the ctime, which a new hard link changes too.
    return File(name, status.st_size, f'{status.st_mtime_ns} {stat.S_IMODE(status.st_mode):o}')
