"""A folder of images without labels. Imports no TensorFlow."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from common.errors import DataError
from components.image_example_gen.sources.base.image_files import (
    IMAGE_SUFFIXES,
    files_in,
    fingerprint,
)


def files_of(folder: Path) -> Iterator[Path]:
    """Its images, at any depth, folder by folder in order.

    Raises:
        DataError: it is no folder, or a folder in it cannot be read.
    """
    if not folder.is_dir():
        problem = 'is a file' if folder.exists() else 'does not exist'
        raise DataError(f'inference.path: {folder} {problem}; give a folder with images')
    with _told():
        yield from files_in(folder, IMAGE_SUFFIXES)


def fingerprint_of(folder: Path) -> str:
    """Changes when an image is added, removed, renamed or written.

    Raises:
        DataError: as of `files_of`.
    """
    with _told():
        return fingerprint(files_of(folder), folder)


def require_images(folder: Path) -> None:
    """Before a run begins, which trains for long.

    Raises:
        DataError: it is no folder, cannot be read, or holds no images.
    """
    if next(files_of(folder), None) is None:
        raise DataError(f'inference.path: {folder} holds no images')


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error
