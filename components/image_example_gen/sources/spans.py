"""Selects the spans to train on; a span is the data of one day or one delivery, in one folder.

Names of such folders are `span-7`, `span-007`, `span-20261121`, `2026-11-21` or `20261121`.
"""

import contextlib
import dataclasses
import datetime
import importlib
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import (
    NO_LABELS,
    Label,
    describe_classes,
    make_labels,
    require_classes,
    sorted_names,
)
from components.image_example_gen.sources.base.listing import (
    convert_os_errors,
    folder_at,
    is_image,
)
from components.image_example_gen.sources.base.source import Source

Folders = Mapping[int, Path | str]  # by the number of the span, in ascending order

FIRST_SPAN = 1  # the number of images without spans
_DATE = re.compile(r'(\d{4})(-?)(\d\d)\2(\d\d)')
_SPAN_FOLDER = re.compile(r'span-(\d+)')
_MODULES = {'csv': 'csv_file'}  # the others are called as the source


class Span(NamedTuple):
    """The images of one span; its number defines the order and may be a date such as 20261121."""

    number: int
    source: Source


def open_source(config: DataConfig) -> Source:
    """Opens the source of a recipe, without classes; raises DataError if it cannot be used."""
    if config.path is None and config.url is None and config.source not in ('drawings', 'tfds'):
        raise DataError(  # allowed in a recipe: the path depends on the machine
            f"source '{config.source}' needs a path: give --data PATH, or set data.path"
        )
    # On demand, as TensorFlow Datasets alone takes seconds.
    name = _MODULES.get(config.source, config.source)
    source: Source = importlib.import_module(f'{__package__}.{name}').open_source(config)
    return source


def make_source(config: DataConfig) -> Source:
    """Opens the images of a recipe that are not in spans.

    Raises DataError if they cannot be used, are of fewer than two classes, or a listed class has
    none.
    """
    source = open_source(config)
    source = source.labelled(make_labels(source.where, source.by_label, config.classes))
    require_classes(source.where, source.classes, source.counts, complete=True)
    return source


def span_folders(config: DataConfig) -> Folders:
    """Finds the folders of spans, or the URLs of their prefixes; none if the data has no spans.

    Raises DataError if two folders have the same number, a folder cannot be read, or one next to
    spans is none and has images.
    """
    place = config.spans_place
    if not place or not config.may_have_spans or (isinstance(place, Path) and not place.is_dir()):
        return {}
    is_folder = config.source == 'folder'
    may_be_classes = is_folder and not config.label_pattern
    return find_spans(place, dates_may_be_classes=may_be_classes, with_others=not is_folder)


def open_window(config: DataConfig) -> tuple[Span, ...]:
    """Opens the spans that a recipe trains on, oldest first.

    Images without spans are span 1. All spans have the same classes, those of all of them.

    Raises DataError if the images cannot be used, or they are of fewer than two classes. A listed
    class without images is an error if there are images of other classes, else a later span may
    have some.
    """
    found = span_folders(config)
    if not found:
        return (Span(FIRST_SPAN, make_source(config)),)
    oldest = 0 if config.window == 'all' else -config.window
    spans = _labelled(config, _open_spans(config, [*found.items()][oldest:]))
    place = f'the spans in {config.spans_place}'
    require_classes(place, spans[0].source.classes, _counts(spans), complete=False)
    return spans


def open_older_spans(config: DataConfig, window: Sequence[Span]) -> tuple[Span, ...]:
    """Opens the spans before a window whose test splits are judged too, oldest first.

    As many as give `min_test_images`, estimated from the shares of the splits; none if the window
    has them. Images of classes that the window does not have are not used.
    """
    expected = sum(config.splits.expected(span.source.count)['test'] for span in window)
    older: list[Span] = []
    for number, folder in sorted(span_folders(config).items(), reverse=True):
        if number < window[0].number and expected < config.min_test_images:
            older = [*_open_spans(config, [(number, folder)]), *older]
            expected += config.splits.expected(older[0].source.count)['test']
    return _labelled(config, older, window)


def open_other_spans(config: DataConfig, opened: Collection[int]) -> tuple[Span, ...]:
    """Opens the spans whose numbers are not among those that are `opened`, if they have images."""
    others: list[Span] = []
    for number, folder in span_folders(config).items():
        if number not in opened:
            with contextlib.suppress(DataError):
                others += _open_spans(config, [(number, folder)])
    return tuple(others)


def judged_spans(test_images: Sequence[int], test_window: int, min_test_images: int) -> int:
    """Returns the number of newest spans whose test splits models are judged on.

    They are `test_window`, and more until there are `min_test_images`. `test_images` are the
    numbers of test images of all spans, the newest first.
    """
    newer = itertools.accumulate(test_images[:-1], initial=0)
    return max(test_window, sum(images < min_test_images for images in newer))


def open_labelled(config: DataConfig, classes: Sequence[str]) -> tuple[Span, ...]:
    """Opens all spans of a set to evaluate a model of these classes on, which may lack some.

    Raises DataError if there are no labelled images, or some of another class.
    """
    renamed = config.classes if config.class_names == tuple(classes) else None
    config = config.model_copy(update={'classes': renamed or tuple(classes)})
    folders = span_folders(config)
    spans = _open_spans(config, folders.items()) or (Span(FIRST_SPAN, open_source(config)),)
    spans = _labelled(config, spans)
    counts, labels = _counts(spans), spans[0].source.labels
    unknown = sorted_names(counts.keys() - {*classes})
    seen = {label for span in spans for label in span.source.by_label}
    if unknown or seen - labels.names.keys() - {*NO_LABELS}:
        what = f'of {describe_classes(unknown)}' if unknown else 'with numbers of other classes'
        raise DataError(
            f'{config.describe()} has images {what}, which the model does not know; it has '
            f'{describe_classes(classes)}'
        )
    return spans


def _open_spans(config: DataConfig, folders: Iterable[tuple[int, Path | str]]) -> tuple[Span, ...]:
    key = 'url' if config.is_in_bucket else 'path'
    return tuple(
        Span(number, open_source(config.model_copy(update={key: folder})))
        for number, folder in folders
    )


def _labelled(
    config: DataConfig, spans: Sequence[Span], window: Sequence[Span] = ()
) -> tuple[Span, ...]:
    """The spans with the classes of all, or of a `window`; numbers are named alike in all."""
    seen = sum((span.source.by_label for span in (*window, *spans)), Counter[Label]())
    labels = make_labels(f'the spans in {config.spans_place}', seen, config.classes)
    if window:
        labels = dataclasses.replace(labels, classes=window[0].source.classes)
    return tuple(Span(number, source.labelled(labels)) for number, source in spans)


def _counts(spans: Sequence[Span]) -> Counter[str]:
    return sum((span.source.counts for span in spans), Counter[str]())


def find_spans(
    place: Path | str, *, dates_may_be_classes: bool = True, with_others: bool = True
) -> dict[int, Path | str]:
    """The folders of spans in a folder, or the URLs of spans below one, by number, in this order.

    Folders with names of dates are no spans if they may be classes and one of them has images
    itself. Raises DataError if two folders have the same number, one cannot be read, or, unless
    `with_others`, one next to spans is none and has images.
    """
    with convert_os_errors():
        _, names, _ = next(folder_at(place).walk(is_image))
    folders = {n: place / n if isinstance(place, Path) else f'{place}/{n}' for n in names}
    dates = [name for name in names if _date_number(name)]
    if dates_may_be_classes and any(_first_image(folders[name]) == '' for name in dates):
        names = [name for name in names if name not in dates]
    found: dict[int, str] = {}
    for name in names:
        if (number := _number_of_span(name)) is not None and found.setdefault(number, name) != name:
            raise DataError(
                f'{place} has {found[number]} and {name}, which are the same span; remove one'
            )
    for name in folders if found and not with_others else ():
        is_left_out = name.startswith('_') or name.endswith('.partial')
        if (
            not is_left_out
            and name not in found.values()
            and _first_image(folders[name]) is not None
        ):
            raise DataError(
                f'data folder {place} has spans, and images in {name}, which is not a span; move '
                f'them into a span, or rename the folder to _{name}'
            )
    return {number: folders[name] for number, name in sorted(found.items())}


def _first_image(place: Path | str) -> str | None:
    """The relative folder of the first image; that of the folder's own images, '', is first."""
    with convert_os_errors():
        steps = folder_at(place).walk(is_image)
        return next((here for here, _, files in steps for _ in files), None)


def _number_of_span(name: str) -> int | None:
    match = _SPAN_FOLDER.fullmatch(name)
    return int(match[1]) if match else _date_number(name.removeprefix('span-'))


def _date_number(text: str) -> int | None:
    """Converts `2026-11-21` or `20261121` to 20261121; None if it is not a date."""
    match = _DATE.fullmatch(text)
    try:
        return match and int(f'{datetime.date(*map(int, match.group(1, 3, 4))):%Y%m%d}')
    except ValueError:
        return None
