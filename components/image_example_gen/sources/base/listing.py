"""Lists and reads the files of a folder, on a disk or in object storage. Imports no TensorFlow."""

import contextlib
import functools
import hashlib
import importlib.util
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from common.errors import DataError, Rejected, StorageError
from common.files import MEGABYTE, open_regular
from common.object_storage import open_bucket
from components.image_example_gen.inspection.check_config import too_large

READ_ERRORS = (OSError, ValueError)  # a name with a null byte is a ValueError
_HEIC = ('.heic', '.heif', '.hif')
IMAGE_SUFFIXES = frozenset(
    {'.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.gif', '.webp', '.bmp', '.tif', '.tiff', '.avif'}
).union(_HEIC)
# By the source of a file that is no image; of archives also formats that it refuses.
_SOURCES = {
    'csv': re.compile(r'.*\.(csv|tsv|txt)', re.IGNORECASE),
    'archive': re.compile(r'.*\.(zip|tar|tgz|tbz2?|txz|tar\.\w+|rar|7z)', re.IGNORECASE),
    'parquet': re.compile(r'.*\.parquet', re.IGNORECASE),
    'tfrecord': re.compile(r'.*(\.(tfrecords?|tfrec)|-\d+-of-\d+)(\.gz)?', re.IGNORECASE),
}
# Of desktops, network storage and file systems; hidden ones are ignored as well.
_IGNORED = frozenset(
    {'thumbs.db', 'desktop.ini', '__macosx', '@eadir', '#recycle', '#snapshot', '$recycle.bin'}
).union({'system volume information', 'lost+found'})
_BATCH, _BATCH_BYTES = 32, 32 * MEGABYTE  # objects that are read at a time, and their bytes


class File(NamedTuple):
    """One file of a folder."""

    name: str  # relative path, with slashes
    size: int = 0  # bytes when it was listed
    stamp: str = ''  # time of modification and permissions, or ETag; empty if there is no file


# A folder, relative, the names of its subfolders, and its files with accepted names.
Step = tuple[str, list[str], Iterator[File]]


class LocalFolder(NamedTuple):
    """A folder on a disk that all workers see."""

    path: Path

    def walk(self, accept: Callable[[str], bool]) -> Iterator[Step]:
        """Yields each folder before its subfolders, with the files whose names are accepted.

        Follows links; a folder that several links lead to is read once, where it is least deep.
        Raises OSError if a folder cannot be read.
        """
        visited = set[tuple[int, int]]()
        known = ['']
        for here in known:  # the folders of a level before those in them
            place = os.path.join(self.path, here) if here else str(self.path)  # noqa: PTH118
            status = os.stat(place)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(place) as found:
                entries = {entry.name: entry for entry in found if not is_ignored(entry.name)}
            folders = sorted(name for name, entry in entries.items() if _is_folder(entry))
            prefix = f'{here}/' if here else ''
            files = (name for name in sorted(entries.keys() - folders) if accept(name))
            yield here, folders, (_file(prefix + name, entries[name].stat) for name in files)
            known += [prefix + name for name in folders]

    def read(self, files: Sequence[File], max_bytes: int) -> Iterator[bytes | Rejected]:
        """Yields the contents of files in order.

        An unreadable file, or one with more than `max_bytes`, is yielded as Rejected. Raises
        DataError if the folder cannot be read any more.
        """
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


class BucketFolder(NamedTuple):
    """The objects below a prefix, `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`."""

    url: str

    def walk(self, accept: Callable[[str], bool]) -> Iterator[Step]:
        """As LocalFolder; one folder at a time: the client needs a kilobyte for an object."""
        with open_bucket(self.url) as (storage, root):
            for parent, folders, found in storage.walk(root, detail=True, on_error='raise'):
                if '' in found and found['']['name'] == root:
                    raise DataError(
                        f'{self.url} is an object; only folders of images are read from object '
                        'storage: copy it to a disk'
                    )
                here = parent[len(root) :].strip('/')
                for name in filter(is_ignored, [*folders]):
                    del folders[name]  # not walked
                prefix = f'{here}/' if here else ''
                files = (
                    File(prefix + name, int(info['size']), info.get('ETag') or info['etag'])
                    for name, info in found.items()
                    if info['type'] == 'file' and accept(name) and not is_ignored(name)
                )
                yield here, sorted(folders), files

    def read(self, files: Sequence[File], max_bytes: int) -> Iterator[bytes | Rejected]:
        """As LocalFolder; reads several objects at a time, each takes tens of milliseconds."""
        left = list(files)
        while left:
            sizes = itertools.accumulate(file.size for file in left[:_BATCH])
            number = sum(size <= _BATCH_BYTES for size in sizes) or 1
            batch, left = left[:number], left[number:]
            with open_bucket(self.url) as (storage, root):
                paths = [f'{root}/{file.name}' for file in batch if file.size <= max_bytes]
                contents = iter(storage.cat_ranges(paths, None, None, on_error='return'))
                for file in batch:
                    found = too_large(max_bytes, file.size) or next(contents)
                    if isinstance(found, FileNotFoundError):
                        found = Rejected('unreadable', 'it was removed during the run')
                    if isinstance(found, Exception) and not isinstance(found, Rejected):
                        raise found
                    yield found


Folder = LocalFolder | BucketFolder


def read_file(file: str | Path | int, limit: int) -> bytes:
    """Reads a regular file, or standard input for 0.

    A file that states no bytes is not read: those of /proc do, and some wait for ever. Raises
    Rejected if it has more bytes than `limit`, and OSError if it cannot be read.
    """
    with open(file, 'rb', closefd=False) if isinstance(file, int) else open_regular(file) as opened:
        size = os.fstat(opened.fileno()).st_size  # 0 for a pipe
        is_read = size <= limit and (size or isinstance(file, int))
        contents = opened.read(limit + 1) if is_read else b''
    if error := too_large(limit, max(size, len(contents))):
        raise error
    return contents


@contextlib.contextmanager
def convert_os_errors() -> Iterator[None]:
    """Converts an OSError to a DataError that names the file or folder."""
    try:
        yield
    except StorageError:  # some are an OSError, too
        raise
    except OSError as error:
        where = f'{error.filename} ' if error.filename else 'the images '
        raise DataError(f'{where}cannot be read: {error.strerror or error}') from error


def error_text(error: BaseException) -> str:
    """The message of an error, without the number and the path that an OSError adds."""
    return getattr(error, 'strerror', None) or str(error) or type(error).__name__


def folder_at(place: Path | str) -> Folder:
    """The folder of a path, or of a URL."""
    return LocalFolder(place) if isinstance(place, Path) else BucketFolder(place)


def is_image(name: str) -> bool:
    """Whether a file name has the suffix of an image."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122  much faster


def source_of_name(name: str) -> str | None:
    """The source that reads a file of a name, csv, archive, parquet or tfrecord; else None."""
    return next((source for source, names in _SOURCES.items() if names.fullmatch(name)), None)


def is_ignored(name: str) -> bool:
    """Whether a file or folder is hidden, or is left by a system, such as `Thumbs.db`."""
    return name.startswith('.') or name.lower() in _IGNORED


def list_files(folder: Folder, accept: Callable[[str], bool] = is_image) -> list[File]:
    """The files at any depth whose names are accepted, sorted by name.

    Raises DataError if a folder cannot be read.
    """
    with convert_os_errors():
        return sorted(file for _, _, files in folder.walk(accept) for file in files)


def local_files(path: Path, accept: Callable[[str], bool]) -> list[File]:
    """The files below a folder, or one file; raises DataError if they cannot be read."""
    if path.is_dir():
        return list_files(LocalFolder(path), accept)
    return [stat_file(path.parent, path.name)]


def fingerprint_of(files: Iterable[File], *others: object) -> str:
    """A digest of names, sizes and stamps of files, and of other values; reads no file.

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


def stat_file(folder: Path, name: str) -> File:
    """A file of a folder on a disk; `name` may lead out of it."""
    return _file(name, functools.partial(os.stat, os.path.join(folder, name)))  # noqa: PTH118


def _file(name: str, read_status: Callable[[], os.stat_result]) -> File:
    with contextlib.suppress(*READ_ERRORS):  # such as a broken link
        status = read_status()
        if stat.S_ISREG(status.st_mode):
            # Without the ctime, which a new hard link changes too.
            stamp = f'{status.st_mtime_ns} {stat.S_IMODE(status.st_mode):o}'
            return File(name, status.st_size, stamp)
    return File(name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):  # a link to itself
        return entry.is_dir()
    return False
