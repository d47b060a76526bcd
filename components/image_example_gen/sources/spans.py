"""Selects the spans to train on; a span is the data of one day or one delivery, in one folder.

Names of such folders are `span-7`, `span-007`, `span-20261121`, `2026-11-21` or `20261121`.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from common.errors import DataError
from components.image_example_gen.sources.base.config import DataConfig, number_of_span
from components.image_example_gen.sources.base.image_files import IMAGE_SUFFIXES, files_in
from components.image_example_gen.sources.base.layout import resolve_classes
from components.image_example_gen.sources.base.reading import convert_os_errors
from components.image_example_gen.sources.base.source_protocol import Source
from components.image_example_gen.sources.factory import make_source
from components.image_example_gen.sources.folder.source import FolderSource

FIRST_SPAN = 1  # the number of images without spans


@dataclasses.dataclass(frozen=True)
class Span:
    """The images of one span.

    Attributes:
        number: defines the order of the spans; may be a date such as 20261121.
        source: its images; all spans have the same classes.
    """

    number: int
    source: Source


def span_folders(path: Path) -> dict[int, Path]:
    """Finds the folders of spans, by number in ascending order.

    Ignores other folders, such as `span-8.partial` that is still being copied; `open_window` raises
    an error if others contain images.

    Raises:
        DataError: two folders have the same number, or the folder cannot be read.
    """
    found: dict[int, Path] = {}
    with convert_os_errors():
        folders = sorted(each for each in path.iterdir() if each.is_dir())
    for folder in folders:
        number = number_of_span(folder.name)
        if number is not None:
            if number in found:
                raise DataError(f'{found[number]} and {folder} are the same span; remove one')
            found[number] = folder
    return dict(sorted(found.items()))


def open_window(config: DataConfig) -> tuple[Span, ...]:
    """Opens the spans that a recipe trains on, oldest first.

    Images without spans are span 1. The classes of `folder` spans are combined: a span may have no
    images of some classes.

    Raises:
        DataError: the images cannot be used, no span is in the range, a folder that is not a span
            contains images, or a class has no images in any span.
    """
    found = span_folders(config.path) if config.path and config.path.is_dir() else {}
    if not found and not config.span_range:
        return (Span(FIRST_SPAN, make_source(config)),)
    if config.source == 'folder' and config.path and found:
        _require_only_spans(config.path, found)
    folders = _select(config, found)
    spans = [
        Span(number, make_source(config.model_copy(update={'path': folder}), complete=False))
        for number, folder in folders.items()
    ]
    if config.source == 'folder':
        spans = _combine_classes(spans, f'the spans in {config.path}', config.classes)
    for span in spans:
        if span.source.classes != spans[0].source.classes:
            raise DataError(
                f'{folders[span.number]} has the classes {", ".join(span.source.classes)} and '
                f'{folders[spans[0].number]} has {", ".join(spans[0].source.classes)}; '
                'all spans must have the same'
            )
    return tuple(spans)


def _require_only_spans(path: Path, found: Mapping[int, Path]) -> None:
    """Raises DataError if a folder that is not a span contains images."""
    spans = set(found.values())
    with convert_os_errors():
        others = sorted(each for each in path.iterdir() if each.is_dir() and each not in spans)
        for folder in others:
            ignored = folder.name.startswith(('.', '_')) or folder.name.endswith('.partial')
            if not ignored and next(files_in(folder, IMAGE_SUFFIXES), None):
                raise DataError(
                    f'data folder {path} has spans, such as {min(spans).name}, and images in '
                    f'{folder.name}, which is not a span; move them into a span, or rename the '
                    f'folder to _{folder.name}'
                )


def _select(config: DataConfig, found: Mapping[int, Path]) -> dict[int, Path]:
    if not config.span_range:
        return dict(list(found.items())[-config.window :])
    first, last = config.span_range
    selected = {number: folder for number, folder in found.items() if first <= number <= last}
    if not selected:
        existing = f'its spans are {", ".join(map(str, found))}' if found else 'it has no spans'
        raise DataError(
            f'data folder {config.path} has none of the spans {first} to {last} of '
            f'data.span_range; {existing}'
        )
    return selected


def _combine_classes(spans: list[Span], where: str, wanted: tuple[str, ...] | None) -> list[Span]:
    sources = [span.source for span in spans if isinstance(span.source, FolderSource)]
    counts: Counter[str] = Counter()
    for source in sources:
        counts.update(source.counts)
    classes = resolve_classes(where, counts, wanted)
    return [
        Span(span.number, source.with_classes(classes))
        for span, source in zip(spans, sources, strict=True)
    ]
