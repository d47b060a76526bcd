"""Finds image files in folders and computes fingerprints. Does not import TensorFlow."""

import errno
import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import NoReturn

from components.image_example_gen.inspection.magic_numbers import has_heic

_DECODABLE = {'.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.gif', '.webp', '.bmp', '.tif', '.tiff'}
_AVIF, _HEIC = {'.avif'}, {'.heic', '.heif', '.hif'}
IMAGE_SUFFIXES = frozenset({*_DECODABLE, *_AVIF, *_HEIC})
PARQUET_SUFFIXES = frozenset({'.parquet'})
RECORDS = re.compile(r'.*(\.(tfrecords?|tfrec)|-\d+-of-\d+)(\.gz)?', re.IGNORECASE)
_VISITS = 64  # of a folder, through different links
_DEPTH = 200  # levels of folders; before Python 3.12, `os.walk` is recursive
_IGNORED = frozenset({'thumbs.db', 'desktop.ini', '__macosx'})  # hidden files are ignored as well


def files_in(folder: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """Yields files with one of the suffixes (in any case) at any depth, folder by folder, sorted.

    Skips hidden files, such as the "._cat.jpg" that macOS writes next to a copied "cat.jpg".
    Raises OSError if a folder cannot be read.
    """
    for parent, _, names in walk(folder):
        for name in names:
            file = parent / name
            if file.suffix.lower() in suffixes and file.is_file():
                yield file


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yields each folder with its sorted subfolder and file names, without ignored names.

    Follows links, except to a parent folder. A folder that several links lead to is visited
    through each of them, up to _VISITS times. Raises OSError if a folder cannot be read, if links
    lead to one more often (linked folders with links may double at each level), or if folders are
    nested more than _DEPTH deep.
    """
    visits: Counter[tuple[int, int]] = Counter()
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        here = Path(parent)
        status = here.stat()
        place = status.st_dev, status.st_ino
        visits[place] += 1
        if visits[place] > _VISITS:
            raise OSError(errno.ELOOP, f'links lead to it more than {_VISITS} times', parent)
        if folders and len(here.parts) - len(folder.parts) >= _DEPTH:
            problem = f'folders are nested more than {_DEPTH} deep; move the images up'
            raise OSError(errno.ENAMETOOLONG, problem, str(folder))
        folders[:] = sorted(n for n in folders if not is_ignored(n) and not _is_cycle(here / n))
        yield here, list(folders), sorted(name for name in names if not is_ignored(name))


def is_image(name: str) -> bool:
    """Whether the file name has the suffix of an image."""
    return PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def optional_decoders(names: Iterable[str]) -> str:
    """The decoders that only some versions or installations have, of those that files need.

    Part of fingerprints: with another decoder, the same files are read again.
    """
    suffixes = {f'.{name.rpartition(".")[2].lower()}' for name in names}
    heic = suffixes & _HEIC and has_heic()
    return ' '.join(name for name, used in (('avif', suffixes & _AVIF), ('heic', heic)) if used)


def is_ignored(name: str) -> bool:
    """Whether the file or folder is hidden, or left by a desktop, such as `Thumbs.db`."""
    return name.startswith('.') or name.lower() in _IGNORED


def fingerprint(files: Iterable[Path], root: Path) -> str:
    """A digest of the names, sizes, modification times and permissions of files.

    Excludes the ctime, which a new hard link changes too. Raises OSError if a file does not exist.
    """
    digest = hashlib.sha256()
    for file in files:
        status = file.stat() if file.exists() else file.lstat()  # a broken link
        mode = stat.S_IMODE(status.st_mode)
        line = f'{file.relative_to(root)}\0{status.st_size}\0{status.st_mtime_ns}\0{mode:o}\n'
        digest.update(line.encode(errors='surrogateescape'))
    return digest.hexdigest()


def _is_cycle(folder: Path) -> bool:
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


def _raise(error: OSError) -> NoReturn:
    raise error
