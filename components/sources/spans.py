"""Spans: what came on one day, or in one delivery, each in a folder `span-N` of its own."""

import dataclasses
import re
from pathlib import Path

from components.sources.base import DataError, Source
from components.sources.config import DataConfig
from components.sources.factory import make_source
from components.sources.folder import class_names

SPAN, FINGERPRINT = 'span', 'input_fingerprint'  # properties of Examples, as TFX names them
_SPAN_FOLDER = re.compile(r'span-(\d+)')
_FIRST = 1  # of images that do not come in spans


@dataclasses.dataclass(frozen=True)
class Span:
    """The images of one span.

    Attributes:
        number: spans are in the order of their numbers; a date such as 20261121 is one too.
        source: its images; those of all spans have the same classes.
    """

    number: int
    source: Source


def span_folders(path: Path) -> dict[int, Path]:
    """The folders `span-N` in a folder, by their numbers in rising order; `span-007` is 7.

    Anything else beside them is left alone, such as `span-8.partial` that is still being copied.

    Raises:
        DataError: two folders have the same number, or the folder cannot be read.
    """
    found: dict[int, Path] = {}
    try:
        folders = sorted(each for each in path.iterdir() if each.is_dir())
    except OSError as error:
        raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error
    for folder in folders:
        if match := _SPAN_FOLDER.fullmatch(folder.name):
            number = int(match[1])
            if number in found:
                raise DataError(f'{found[number]} and {folder} are the same span; remove one')
            found[number] = folder
    return dict(sorted(found.items()))


def open_window(config: DataConfig) -> tuple[Span, ...]:
    """The newest spans that a recipe trains on, oldest first; at least one.

    Images that do not come in spans are one span, with the number 1.

    Raises:
        DataError: the images cannot be used.
    """
    found = span_folders(config.path) if config.path and config.path.is_dir() else {}
    if not found:
        return (Span(_FIRST, make_source(config)),)
    folders = dict(list(found.items())[-config.window :])
    known = sorted(set().union(*map(class_names, folders.values())))
    classes = tuple(known) if config.source == 'folder' and len(known) == 2 else None
    spans = tuple(
        Span(number, make_source(config.model_copy(update={'path': folder}), classes))
        for number, folder in folders.items()
    )
    for span in spans:
        if span.source.classes != spans[0].source.classes:
            raise DataError(
                f'{folders[span.number]} has the classes {", ".join(span.source.classes)} and '
                f'{folders[spans[0].number]} has {", ".join(spans[0].source.classes)}; '
                'all spans must have the same'
            )
    return spans
