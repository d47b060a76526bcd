"""Spans: what came on one day, or in one delivery, each in a folder of its own.

Such a folder is called `span-7`, `span-007`, `span-20261121`, `2026-11-21` or `20261121`; a date is
a number too.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from common.errors import DataError
from components.image_example_gen.sources.base.config import DataConfig, number_of_span
from components.image_example_gen.sources.base.image_files import IMAGE_SUFFIXES, files_in
from components.image_example_gen.sources.base.layout import settle_counts
from components.image_example_gen.sources.base.source_protocol import Source
from components.image_example_gen.sources.factory import make_source
from components.image_example_gen.sources.folder import FolderSource

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
    """The folders of spans in a folder, by their numbers in rising order.

    Anything else beside them is left alone, such as `span-8.partial` that is still being copied;
    `open_window` refuses images there.

    Raises:
        DataError: two folders have the same number, or the folder cannot be read.
    """
    found: dict[int, Path] = {}
    try:
        folders = sorted(each for each in path.iterdir() if each.is_dir())
    except OSError as error:
        raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error
    for folder in folders:
        number = number_of_span(folder.name)
        if number is not None:
            if number in found:
                raise DataError(f'{found[number]} and {folder} are the same span; remove one')
            found[number] = folder
    return dict(sorted(found.items()))


def open_window(config: DataConfig) -> tuple[Span, ...]:
    """The spans that a recipe trains on, oldest first: the newest, or those of a range.

    Images that do not come in spans are one span, with the number 1. Spans of folders may lack
    classes that others of them have: they all have the classes of all.

    Raises:
        DataError: the images cannot be used, there are no spans in the range, or images beside
            them, or no span has images of a class.
    """
    found = span_folders(config.path) if config.path and config.path.is_dir() else {}
    if not found and not config.span_range:
        return (Span(_FIRST, make_source(config)),)
    if config.source == 'folder' and config.path and found:
        _require_nothing_beside(config.path, found)
    folders = _chosen(config, found)
    spans = [open_span(config, number, folder) for number, folder in folders.items()]
    if config.source == 'folder':
        spans = _with_same_classes(spans, f'the spans in {config.path}', config.classes)
    for span in spans:
        if span.source.classes != spans[0].source.classes:
            raise DataError(
                f'{folders[span.number]} has the classes {", ".join(span.source.classes)} and '
                f'{folders[spans[0].number]} has {", ".join(spans[0].source.classes)}; '
                'all spans must have the same'
            )
    return tuple(spans)


def open_span(config: DataConfig, number: int, folder: Path) -> Span:
    """One span alone; of a folder, with the classes that it has itself.

    Raises:
        DataError: the images cannot be used.
    """
    source = make_source(config.model_copy(update={'path': folder}), complete=False)
    return Span(number, source)


def _require_nothing_beside(path: Path, found: Mapping[int, Path]) -> None:
    """Raises DataError for a folder with images that no span takes."""
    spans = set(found.values())
    try:
        beside = sorted(each for each in path.iterdir() if each.is_dir() and each not in spans)
        for folder in beside:
            apart = folder.name.startswith(('.', '_')) or folder.name.endswith('.partial')
            if not apart and next(files_in(folder, IMAGE_SUFFIXES), None):  # the first will do
                raise DataError(
                    f'data folder {path} holds the span {min(spans).name} and, in no span, images '
                    f'in {folder.name}; move these into a span, or call their folder _{folder.name}'
                )
    except OSError as error:
        raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error


def _chosen(config: DataConfig, found: Mapping[int, Path]) -> dict[int, Path]:
    if not config.span_range:
        return dict(list(found.items())[-config.window :])
    first, last = config.span_range
    chosen = {number: folder for number, folder in found.items() if first <= number <= last}
    if not chosen:
        there = f'there are {", ".join(map(str, found))}' if found else 'it holds no spans'
        raise DataError(
            f'data folder {config.path} has none of the spans {first} to {last} of '
            f'data.span_range; {there}'
        )
    return chosen


def _with_same_classes(spans: list[Span], where: str, wanted: tuple[str, ...] | None) -> list[Span]:
    sources = [span.source for span in spans if isinstance(span.source, FolderSource)]
    counts: Counter[str] = Counter()
    for source in sources:
        counts.update(source.counts)
    classes = settle_counts(where, counts, wanted)
    return [
        Span(span.number, source.with_classes(classes))
        for span, source in zip(spans, sources, strict=True)
    ]
