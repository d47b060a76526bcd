"""Selects the spans to train on; a span is the data of one day or one delivery, in one folder.

Names of such folders are `span-7`, `span-007`, `span-20261121`, `2026-11-21` or `20261121`.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common.errors import DataError
from components.image_example_gen.sources.base.config import DataConfig, number_of_span
from components.image_example_gen.sources.base.image_files import IMAGE_SUFFIXES, files_in
from components.image_example_gen.sources.base.reading import convert_os_errors
from components.image_example_gen.sources.base.source_protocol import Source
from components.image_example_gen.sources.factory import make_source
from components.image_example_gen.sources.folder import FolderSource, resolve_classes

FIRST_SPAN = 1  # the number of images without spans


class Span(NamedTuple):
    """The images of one span; its number defines the order and may be a date such as 20261121."""

    number: int
    source: Source


def span_folders(path: Path) -> dict[int, Path]:
    """Finds the folders of spans, by number in ascending order; ignores other folders.

    Raises:
        DataError: two folders have the same number, or the folder cannot be read.
    """
    found: dict[int, Path] = {}
    with convert_os_errors():
        folders = sorted(each for each in path.iterdir() if each.is_dir())
    for folder in folders:
        number = number_of_span(folder.name)
        if number in found:
            raise DataError(f'{found[number]} and {folder} are the same span; remove one')
        if number is not None:
            found[number] = folder
    return dict(sorted(found.items()))


def open_window(config: DataConfig) -> tuple[Span, ...]:
    """Opens the spans that a recipe trains on, oldest first.

    Images without spans are span 1. All spans have the same classes; those of `folder` spans are
    combined.

    Raises:
        DataError: the images cannot be used, no span is in the range, a folder that is not a span
            contains images, or a class has no images in any span.
    """
    found = span_folders(config.path) if config.path and config.path.is_dir() else {}
    if not found and not config.span_range:
        return (Span(FIRST_SPAN, make_source(config)),)
    selected = _select(config, found)
    if config.source == 'folder':
        return _open_folders(config, selected)
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
    folders = span_folders(config.path) if config.path and config.path.is_dir() else {}
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


def _open_source(config: DataConfig, folder: Path) -> Source:
    if config.source == 'folder':
        return _open_folder(config, folder)
    return make_source(config.model_copy(update={'path': folder}))


def _open_folder(config: DataConfig, folder: Path) -> FolderSource:
    """Opens one span of folders, which may lack some of the classes."""
    return FolderSource(
        folder,
        config.classes,
        max_bytes=config.checks.max_bytes,
        complete=False,
        group_by=config.group_by,
    )


def _open_folders(config: DataConfig, folders: Mapping[int, Path]) -> tuple[Span, ...]:
    assert config.path
    _require_only_spans(config.path)
    sources = {number: _open_folder(config, folder) for number, folder in folders.items()}
    counts: Counter[str] = Counter()
    for source in sources.values():
        counts.update(source.counts)
    classes = resolve_classes(f'the spans in {config.path}', counts, config.classes)
    return tuple(Span(number, source.with_classes(classes)) for number, source in sources.items())


def _require_only_spans(path: Path) -> None:
    """Raises DataError if a folder that is not a span contains images."""
    with convert_os_errors():
        for folder in sorted(each for each in path.iterdir() if each.is_dir()):
            ignored = folder.name.startswith(('.', '_')) or folder.name.endswith('.partial')
            if ignored or number_of_span(folder.name) is not None:
                continue
            if next(files_in(folder, IMAGE_SUFFIXES), None):
                raise DataError(
                    f'data folder {path} has spans, and images in {folder.name}, which is not a '
                    f'span; move them into a span, or rename the folder to _{folder.name}'
                )
