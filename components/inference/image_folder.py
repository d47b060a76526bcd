"""Finds the images of an unlabelled folder."""

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
    """Yields the image files of a folder and its subfolders, sorted within each.

    Raises:
        DataError: the path is not a folder, or a subfolder is not readable.
    """
    if not folder.is_dir():
        problem = 'is a file' if folder.exists() else 'does not exist'
        raise DataError(f'inference.path: {folder} {problem}; give a folder with images')
    with _data_errors():
        yield from files_in(folder, IMAGE_SUFFIXES)


def fingerprint_of(folder: Path) -> str:
    """Digest that changes when an image is added, removed, renamed or modified.

    Raises:
        DataError: see `files_of`.
    """
    with _data_errors():
        return fingerprint(files_of(folder), folder)


def require_images(folder: Path) -> None:
    """Checks the folder before a run starts to train.

    Raises:
        DataError: the folder has no images, or see `files_of`.
    """
    if next(files_of(folder), None) is None:
        raise DataError(f'inference.path: {folder} has no images')


@contextlib.contextmanager
def _data_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error
