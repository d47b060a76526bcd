"""Files of images in a folder: which count, and when they changed. Imports no TensorFlow."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

IMAGE_SUFFIXES = frozenset({'.jpg', '.jpeg', '.png'})
PARQUET_SUFFIXES = frozenset({'.parquet'})


def files_in(folder: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """Files with one of the suffixes, in either case, at any depth, folder by folder in order.

    Hidden ones are left out, such as the "._cat.jpg" that macOS leaves beside each "cat.jpg"
    that it copies. Links are followed.

    Raises:
        OSError: a folder cannot be read.
    """
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        here = Path(parent)
        folders[:] = sorted(name for name in folders if _visible(name) and not _back(here, name))
        for name in sorted(names):
            file = here / name
            if _visible(name) and file.suffix.lower() in suffixes and file.is_file():
                yield file


def fingerprint(files: Iterable[Path], root: Path) -> str:
    """Changes when a file is added, removed, renamed or written.

    Raises:
        OSError: a file cannot be found.
    """
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        line = f'{file.relative_to(root)}\0{status.st_size}\0{status.st_mtime_ns}\n'
        digest.update(line.encode(errors='surrogateescape'))
    return digest.hexdigest()


def _visible(name: str) -> bool:
    return not name.startswith('.')


def _back(folder: Path, name: str) -> bool:
    """Whether this is a link to a folder that holds it: following it would never end."""
    inner = folder / name
    return inner.is_symlink() and folder.resolve().is_relative_to(inner.resolve())


def _raise(error: OSError) -> NoReturn:
    raise error
