"""Names of the folders of spans: `span-7`, `span-007`, `2026-11-21`, `20261121`."""

import datetime
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_DATE = re.compile(r'(\d{4})(-?)(\d\d)\2(\d\d)')
_SPAN_FOLDER = re.compile(r'span-(\d+)')


def is_date(name: str) -> bool:
    """Whether the name of a folder is a date, which may also be a number of a class."""
    return _date_number(name) is not None


def _date_number(text: str) -> int | None:
    """Converts `2026-11-21` or `20261121` to 20261121; None if it is not a date."""
    match = _DATE.fullmatch(text)
    try:
        return match and int(f'{datetime.date(*map(int, match.group(1, 3, 4))):%Y%m%d}')
    except ValueError:
        return None


def number_of_span(name: str) -> int | None:
    """The span number of a folder name; None if the folder is not a span."""
    match = _SPAN_FOLDER.fullmatch(name)
    return int(match[1]) if match else _date_number(name.removeprefix('span-'))


def _span_number(value: Any) -> Any:
    """Converts dates to span numbers; YAML parses 2026-11-21 as a date."""
    if isinstance(value, (datetime.date, str)):
        return _date_number(str(value)) or value
    return value


SpanNumber = Annotated[int, Field(ge=0), BeforeValidator(_span_number)]
