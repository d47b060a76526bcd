"""Reads images from files, folders, URLs and standard input. Imports no TensorFlow."""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import DataError, DownloadError, Rejected
from common.redaction import redacted
from components.image_example_gen.sources.base.data_config import URL
from components.image_example_gen.sources.base.listing import (
    LocalFolder,
    error_text,
    list_files,
    read_file,
)
from components.image_example_gen.sources.download import get

_DOWNLOAD_SECONDS = 60  # for one image


class InputImage(NamedTuple):
    """The contents of an image file, or the reason why it cannot be read."""

    path: str  # or URL; printable and without passwords
    contents: bytes = b''
    problem: str | None = None  # as a clause; None if the file was read


def read_images(arguments: Iterable[str], max_bytes: int) -> Iterator[InputImage]:
    """Reads images one at a time; an unreadable image has a `problem` instead of contents.

    Arguments are files, folders with images at any depth, URLs, or `-` for standard input. An image
    larger than `max_bytes` is not read further.
    """
    for argument in arguments:
        if argument == '-':
            yield _read('standard input', read_file, 0, max_bytes)
        elif URL.match(argument):
            yield _read(redacted(argument), _download, argument, max_bytes)
        elif os.path.isdir(argument):  # noqa: PTH112  Path.is_dir raises OSError
            yield from _read_folder(argument, max_bytes)
        else:
            yield _read(argument, read_file, argument, max_bytes)


def _read(
    path: str, read: Callable[[Any, int], bytes], source: str | Path | int, max_bytes: int
) -> InputImage:
    printable = os.fsencode(path).decode(errors='replace')
    try:
        return InputImage(printable, read(source, max_bytes))
    except DownloadError as error:
        return InputImage(printable, problem=f'cannot be downloaded: {error}')
    except Rejected as error:
        return InputImage(printable, problem=str(error))
    except (OSError, ValueError) as error:  # ValueError: the name contains a null byte
        return InputImage(printable, problem=f'cannot be read: {error_text(error)}')


def _read_folder(folder: str, max_bytes: int) -> Iterator[InputImage]:
    try:
        files = list_files(LocalFolder(Path(folder)))
    except DataError as error:
        yield InputImage(folder, problem=f'cannot be listed: {error}')
        return
    for file in files:
        path = Path(folder, file.name)
        yield _read(str(path), read_file, path, max_bytes)
    if not files:
        yield InputImage(folder, problem='has no images')


def _download(url: str, max_bytes: int) -> bytes:
    _, *parts = get(url, max_bytes, _DOWNLOAD_SECONDS)
    return b''.join(parts)
