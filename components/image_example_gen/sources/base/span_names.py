"""Folders of spans, by their names: `span-7`, `span-007`, `2026-11-21`, `20261121`."""

import datetime
import re
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


def find_spans(
    place: Path | str, *, dates_may_be_classes: bool = True, with_others: bool = True
) -> dict[int, Path | str]:
    """The folders of spans in a folder, or the URLs of spans below one, by number, in this order.

    Folders with names of dates are no spans if they may be classes and one of them has images
    itself. Raises DataError if two folders have the same number, one cannot be read, or, unless
    `with_others`, one next to spans is none and has images.
    """
    with convert_os_errors():
        _, names, _ = next(open_folder(place).walk(is_image))
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
        steps = open_folder(place).walk(is_image)
        return next((here for here, _, files in steps for _ in files), None)


def _span_number(value: Any) -> Any:
    """Converts dates to span numbers; YAML parses 2026-11-21 as a date."""
    return _date_number(str(value)) or value


SpanNumber = Annotated[int, Field(ge=0), BeforeValidator(_span_number)]
