"""Selects the spans to train on; a span is the data of one day or one delivery, in one folder.

Names of such folders are `span-7`, `span-007`, `span-20261121`, `2026-11-21` or `20261121`.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig, number_of_span
from components.image_example_gen.sources.base.image_files import IMAGE_SUFFIXES, files_in
from components.image_example_gen.sources.base.image_folder import (
    BucketFolder,
    subfolders_of_bucket,
)
from components.image_example_gen.sources.base.labelled_files import resolve_classes
from components.image_example_gen.sources.base.reading import convert_os_errors
from components.image_example_gen.sources.base.source_protocol import Source
from components.image_example_gen.sources.open_source import make_source, open_files

_Place = TypeVar('_Place', bound=Path | str)

FIRST_SPAN = 1  # the number of images without spans


class Span(NamedTuple):
    """The images of one span; its number defines the order and may be a date such as 20261121."""

    number: int
    source: Source


def span_folders(place: _Place) -> dict[int, _Place]:
    """Finds the folders of spans, by number in ascending order; ignores other folders.

    `place` is a folder, or the URL of a prefix in object storage.

    Raises:
        DataError: two folders have the same number, or the folder cannot be read.
    """
    found: dict[int, _Place] = {}
    for folder in _subfolders(place):
        number = number_of_span(PurePosixPath(folder).name)
        if number in found:
            raise DataError(f'{found[number]} and {folder} are the same span; remove one')
        if number is not None:
            found[number] = folder
    return dict(sorted(found.items()))


@convert_os_errors()
def open_window(config: DataConfig) -> tuple[Span, ...]:
    """Opens the spans that a recipe trains on, oldest first.

    Images without spans are span 1. All spans have the same classes; those of spans of folders
    and CSV files are combined.

    Raises:
        DataError: the images cannot be used, no span is in the range, a folder that is not a span
            contains images, or a class has no images in any span.
    """
    found = _spans_of(config)
    if not found and not config.span_range:
        return (Span(FIRST_SPAN, make_source(config)),)
    return _open_spans(config, _select(config, found))


def span_numbers(config: DataConfig) -> frozenset[int]:
    """The numbers of all spans, inside and outside of the window; empty without spans."""
    return frozenset(_spans_of(config))


def incomplete_span(config: DataConfig) -> int | None:
    """The newest span, if the older ones can be used without it; else None.

    For a window that `open_window` cannot open: the images of the newest span may still arrive.
    """
    found = _spans_of(config)
    newest = max(_select(config, found)) if found else None
    older = {number: folder for number, folder in found.items() if number != newest}
    if not older:
        return None
    try:
        _open_spans(config, _select(config, older))
    except DataError:
        return None
    return newest


def _open_spans(config: DataConfig, selected: Mapping[int, Path | str]) -> tuple[Span, ...]:
    if config.source in ('folder', 'csv'):
        return _open_files(config, selected)
    spans = tuple(Span(number, _open_source(config, folder)) for number, folder in selected.items())
    first = spans[0]
    for number, source in spans:
        if source.classes != first.source.classes:
            raise DataError(
                f'span {number} has the classes {", ".join(source.classes)} and span '
                f'{first.number} has {", ".join(first.source.classes)}; all must have the same'
            )
    return spans


def open_older_spans(config: DataConfig, window: Sequence[Span]) -> tuple[Span, ...]:
    """Opens the spans before a window whose test splits are judged too, oldest first.

    As many as give `min_test_images`, estimated from the shares of the splits; none if the window
    has them. Images of classes that the window does not have are not used.
    """
    first, *_ = window
    expected = sum(config.splits.expected(span.source.count)['test'] for span in window)
    folders = _spans_of(config)
    same_classes = config.model_copy(update={'classes': first.source.classes})
    older: list[Span] = []
    for number in sorted((each for each in folders if each < first.number), reverse=True):
        if expected >= config.min_test_images:
            break
        source = _open_source(same_classes, folders[number])
        older.insert(0, Span(number, source))
        expected += config.splits.expected(source.count)['test']
    return tuple(older)


def judged_spans(test_images: Sequence[int], test_window: int, min_test_images: int) -> int:
    """Returns the number of newest spans whose test splits models are judged on.

    They are `test_window`, and more until there are `min_test_images`. `test_images` are the
    numbers of test images of all spans, the newest first.
    """
    newer = itertools.accumulate(test_images[:-1], initial=0)
    return max(test_window, sum(images < min_test_images for images in newer))


def _spans_of(config: DataConfig) -> dict[int, Path | str]:
    place = config.spans_place
    if place is None or (isinstance(place, Path) and not place.is_dir()):
        return {}
    return {**span_folders(place)}


def _subfolders(place: Path | str) -> list[Any]:
    """The folders directly in a folder or below a prefix, sorted; paths or URLs, like `place`."""
    if isinstance(place, str):
        return subfolders_of_bucket(place)
    with convert_os_errors():
        return sorted(each for each in place.iterdir() if each.is_dir())


def _select(config: DataConfig, found: Mapping[int, Path | str]) -> dict[int, Path | str]:
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


def _open_source(config: DataConfig, folder: Path | str) -> Source:
    if config.source in ('folder', 'csv'):
        return open_files(config, folder, complete=False)
    return make_source(config.model_copy(update={'path': folder}))


def _open_files(config: DataConfig, folders: Mapping[int, Path | str]) -> tuple[Span, ...]:
    place = config.spans_place
    assert place
    if config.source == 'folder':
        _require_only_spans(place)
    sources = {
        number: open_files(config, folder, complete=False) for number, folder in folders.items()
    }
    counts: Counter[str] = Counter()
    for source in sources.values():
        counts.update(source.counts)
    classes = resolve_classes(f'the spans in {place}', counts, config.classes)
    return tuple(Span(number, source.with_classes(classes)) for number, source in sources.items())


def _require_only_spans(place: Path | str) -> None:
    """Raises DataError if a folder that is not a span contains images."""
    for folder in _subfolders(place):
        name = PurePosixPath(folder).name
        ignored = name.startswith(('.', '_')) or name.endswith('.partial')
        if not ignored and number_of_span(name) is None and _has_images(folder):
            raise DataError(
                f'data folder {place} has spans, and images in {name}, which is not a span; move '
                f'them into a span, or rename the folder to _{name}'
            )


def _has_images(folder: Path | str) -> bool:
    if isinstance(folder, str):
        return bool(BucketFolder(folder).list_images().images)
    with convert_os_errors():
        return next(files_in(folder, IMAGE_SUFFIXES), None) is not None
