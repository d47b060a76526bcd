"""Files of images in a folder: which count, and when they changed. Imports no TensorFlow."""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import NoReturn

# What people have. Formats that cannot be decoded are in it too: they are told, not overlooked.
IMAGE_SUFFIXES = frozenset(
    {
        '.jpg',
        '.jpeg',
        '.jpe',
        '.jfif',
        '.png',
        '.gif',
        '.webp',
        '.bmp',
        '.tif',
        '.tiff',
        '.heic',
        '.heif',
        '.avif',
    }
)
PARQUET_SUFFIXES = frozenset({'.parquet'})
# Names of files of TFRecords.
RECORDS = re.compile(r'.*(\.(tfrecords?|tfrec)|-\d+-of-\d+)(\.gz)?', re.IGNORECASE)
_LITTER = frozenset({'thumbs.db', 'desktop.ini', '__macosx'})  # hidden files are litter as well


def files_in(folder: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """Files with one of the suffixes, in either case, at any depth, folder by folder in order.

    Hidden ones are left out, such as the "._cat.jpg" that macOS leaves beside each "cat.jpg"
    that it copies. Links are followed.

    Raises:
        OSError: a folder cannot be read.
    """
    for parent, _, names in walk(folder):
        for name in names:
            file = parent / name
            if file.suffix.lower() in suffixes and file.is_file():
                yield file


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each folder, with the sorted names of the folders and of the files in it, without litter.

    Raises:
        OSError: a folder cannot be read.
    """
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        here = Path(parent)
        folders[:] = sorted(n for n in folders if not is_litter(n) and not _back(here, n))
        yield here, list(folders), sorted(name for name in names if not is_litter(name))


def is_image(name: str) -> bool:
    """Whether a file of this name should hold an image."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def is_litter(name: str) -> bool:
    """Whether desktops leave files or folders of this name: they are nobody's data."""
    return name.startswith('.') or name.lower() in _LITTER


def fingerprint(files: Iterable[Path], root: Path) -> str:
    """Changes when a file is added, removed, renamed or written, or others may read it.

    The time of a change to a file's properties is no part of it: a hard link changes that too.

    Raises:
        OSError: a file cannot be found.
    """
    digest = hashlib.sha256()
    for file in files:
        status = file.stat() if file.exists() else file.lstat()  # a link to nothing
        rights = stat.S_IMODE(status.st_mode)
        line = f'{file.relative_to(root)}\0{status.st_size}\0{status.st_mtime_ns}\0{rights:o}\n'
        digest.update(line.encode(errors='surrogateescape'))
    return digest.hexdigest()


def _back(folder: Path, name: str) -> bool:
    """Whether this is a link to a folder that holds it: following it would never end."""
    inner = folder / name
    return inner.is_symlink() and folder.resolve().is_relative_to(inner.resolve())


def _raise(error: OSError) -> NoReturn:
    raise error
