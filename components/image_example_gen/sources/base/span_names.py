"""Folders of spans, by their names: `span-7`, `span-007`, `2026-11-21`, `20261121`."""

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from common.errors import DataError
from components.image_example_gen.sources.base.listing import is_image, open_folder
from components.image_example_gen.sources.base.reading import convert_os_errors

_DATE = re.compile(r'(\d{4})(-?)(\d\d)\2(\d\d)')
_SPAN_FOLDER = re.compile(r'span-(\d+)')


def _date_number(text: str) -> int | None:
    """Converts `2026-11-21` or `20261121` to 20261121; None if it is not a date."""
    match = _DATE.fullmatch(text)
    try:
        return match and int(f'{datetime.date(*map(int, match.group(1, 3, 4))):%Y%m%d}')
    except ValueError:
        return None


def _number_of_span(name: str) -> int | None:
    match = _SPAN_FOLDER.fullmatch(name)
    return int(match[1]) if match else _date_number(name.removeprefix('span-'))


def find_spans(place: Path | str, *, dates_may_be_classes: bool = True) -> dict[int, str]:
    """The names of the folders of spans in a folder or below a URL, by number, in this order.

    Folders with names of dates are no spans if they may be classes and one of them has images
    itself. Raises DataError if two folders have the same number, or one cannot be read.
    """
    names = subfolders(place)
    dates = {name for name in names if _date_number(name)}
    if not dates_may_be_classes or all(next(images_in(place, name), None) != '' for name in dates):
        dates = set()
    found: dict[int, str] = {}
    for name in names:
        number = None if name in dates else _number_of_span(name)
        if number in found:
            raise DataError(
                f'{place} has {found[number]} and {name}, which are the same span; remove one'
            )
        if number is not None:
            found[number] = name
    return dict(sorted(found.items()))


def subfolders(place: Path | str) -> list[str]:
    """The sorted names of the folders directly in a folder, or below a URL."""
    with convert_os_errors():
        return next(open_folder(place).walk(is_image))[1]


def inside(place: Path | str, name: str) -> Path | str:
    """A folder in a folder, or the URL of a prefix below one."""
    return place / name if isinstance(place, Path) else f'{place}/{name}'


def images_in(place: Path | str, name: str) -> Iterator[str]:
    """Yields the folder of each image in the folder `name`, relative to it; its own, '', first."""
    with convert_os_errors():
        for here, _, files in open_folder(inside(place, name)).walk(is_image):
            for _ in files:
                yield here


def _span_number(value: Any) -> Any:
    """Converts dates to span numbers; YAML parses 2026-11-21 as a date."""
    return _date_number(str(value)) or value


SpanNumber = Annotated[int, Field(ge=0), BeforeValidator(_span_number)]
