"""Selects the spans to train on; a span is the data of one day or one delivery, in one folder.

Names of such folders are `span-7`, `span-007`, `span-20261121`, `2026-11-21` or `20261121`.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from common.errors import DataError
from components.image_example_gen.sources.base.bucket_folder import open_folder, subfolders
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import (
    new_names,
    require_images,
    sorted_names,
)
from components.image_example_gen.sources.base.reading import convert_os_errors
from components.image_example_gen.sources.base.source_protocol import Source
from components.image_example_gen.sources.base.span_names import is_date, number_of_span
from components.image_example_gen.sources.open_source import make_source

Folders = Mapping[int, Path | str]  # by the number of the span, in ascending order

FIRST_SPAN = 1  # the number of images without spans


class Span(NamedTuple):
    """The images of one span; its number defines the order and may be a date such as 20261121."""

    number: int
    source: Source
    new_names: Mapping[str, str] = {}  # of the names of classes in all spans of a window


def span_folders(config: DataConfig) -> Folders:
    """Finds the folders of spans, or the URLs of their prefixes; none if the data has no spans.

    A folder whose name is a date, and that has images itself, is one of a class.

    Raises:
        DataError: two folders have the same number, a folder cannot be read, or one next to spans
            is none and has images.
    """
    place = config.spans_place
    if (
        place is None
        or not config.may_have_spans
        or (isinstance(place, Path) and not place.is_dir())
    ):
        return {}
    names = {folder: PurePosixPath(folder).name for folder in subfolders(place)}
    classes = [folder for folder, name in names.items() if is_date(name)]
    hold_classes = all(next(_images_in(folder), None) != '' for folder in classes)
    if config.source != 'folder' or config.label_pattern or hold_classes:
        classes = []
    found: dict[int, Path | str] = {}
    others = []
    for folder, name in names.items():
        number = None if folder in classes else number_of_span(name)
        if number in found:
            raise DataError(f'{found[number]} and {folder} are the same span; remove one')
        if number is not None:
            found[number] = folder
        elif not name.startswith(('.', '_')) and not name.endswith('.partial'):
            others.append(folder)
    for folder in others if found and config.source == 'folder' else ():
        if next(_images_in(folder), None) is not None:
            raise DataError(
                f'data folder {place} has spans, and images in {names[folder]}, which is not a '
                f'span; move them into a span, or rename the folder to _{names[folder]}'
            )
    return dict(sorted(found.items()))


def _images_in(folder: Path | str) -> Iterator[str]:
    """Yields the relative folder of each image; that of the folder's own images, '', is first."""
    with convert_os_errors():
        for here, _, files in open_folder(folder).walk():
            for _ in files:
                yield here


def open_window(config: DataConfig) -> tuple[Span, ...]:
    """Opens the spans that a recipe trains on, oldest first.

    Images without spans are span 1. All spans have the same classes, those of all of them.

    Raises:
        DataError: the images cannot be used, no span is in the range, or a class has no images in
            any span.
    """
    found = span_folders(config)
    if not found and not config.span_range:
        return (Span(FIRST_SPAN, make_source(config)),)
    return _open_spans(config, _select(config, found))


def span_numbers(config: DataConfig) -> frozenset[int]:
    """The numbers of all spans, inside and outside of the window; empty without spans."""
    return frozenset(span_folders(config))


def incomplete_span(config: DataConfig) -> int | None:
    """The newest span, if the older ones can be used without it; else None.

    For a window that `open_window` cannot open: the images of the newest span may still arrive.
    """
    found = span_folders(config)
    newest = max(_select(config, found)) if found else None
    older = {number: folder for number, folder in found.items() if number != newest}
    if not older:
        return None
    try:
        _open_spans(config, _select(config, older))
    except DataError:
        return None
    return newest


def open_older_spans(config: DataConfig, window: Sequence[Span]) -> tuple[Span, ...]:
    """Opens the spans before a window whose test splits are judged too, oldest first.

    As many as give `min_test_images`, estimated from the shares of the splits; none if the window
    has them. Images of classes that the window does not have are not used.
    """
    first, *_ = window
    expected = sum(config.splits.expected(span.source.count)['test'] for span in window)
    found = span_folders(config)
    older: list[Span] = []
    for number in sorted((each for each in found if each < first.number), reverse=True):
        if expected >= config.min_test_images:
            break
        source = _open_source(config, found[number])
        new = _new_names(config, {*first.new_names, *(source.counts or ())})
        older.insert(0, Span(number, source.with_classes(first.source.classes, new)))
        expected += config.splits.expected(source.count)['test']
    return tuple(older)


def judged_spans(test_images: Sequence[int], test_window: int, min_test_images: int) -> int:
    """Returns the number of newest spans whose test splits models are judged on.

    They are `test_window`, and more until there are `min_test_images`. `test_images` are the
    numbers of test images of all spans, the newest first.
    """
    newer = itertools.accumulate(test_images[:-1], initial=0)
    return max(test_window, sum(images < min_test_images for images in newer))


def _select(config: DataConfig, found: Folders) -> Folders:
    if not config.span_range:
        return dict(list(found.items())[-config.window :])
    first, last = config.span_range
    selected = {number: folder for number, folder in found.items() if first <= number <= last}
    if not selected:
        existing = f'its spans are {", ".join(map(str, found))}' if found else 'it has no spans'
        raise DataError(
            f'data folder {config.spans_place} has none of the spans {first} to {last} of '
            f'data.span_range; {existing}'
        )
    return selected


def _open_spans(config: DataConfig, folders: Folders) -> tuple[Span, ...]:
    sources = {number: _open_source(config, folder) for number, folder in folders.items()}
    own = {name for source in sources.values() for name in source.counts or ()}
    new = _new_names(config, own)
    classes = config.class_names or tuple(sorted_names(own))
    spans = tuple(
        Span(number, source.with_classes(classes, new), new) for number, source in sources.items()
    )
    counts = sum((span.source.counts or Counter() for span in spans), Counter[str]())
    require_images(f'the spans in {config.spans_place}', counts, classes)
    return spans


def _new_names(config: DataConfig, own: Collection[str]) -> dict[str, str]:
    """The class names of the names in all spans: numbers are named alike in all of them."""
    if config.classes is None:
        return {}
    return new_names(f'the spans in {config.spans_place}', sorted_names(own), config.classes, [])


def _open_source(config: DataConfig, folder: Path | str) -> Source:
    key = 'url' if config.is_in_bucket else 'path'
    span = config.model_copy(update={key: folder, 'classes': None})
    return make_source(span, complete=False)
