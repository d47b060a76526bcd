"""Formats spans, times, JSON and dotted keys for output."""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pydantic_core

from common.console import one_line
from common.errors import ConfigError
from components.evaluation.gate.decision import GateDecision

if TYPE_CHECKING:  # it takes a tenth of the time of a command that prints no table
    from rich.table import Table
    from rich.text import Text


def named(numbers: Sequence[int]) -> str:
    """`span 4`, `spans 1 and 3`, `spans 2 to 5`; empty without numbers."""
    if len(numbers) < 2:
        return ''.join(f'span {number}' for number in numbers)
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f'spans {numbers[0]} to {numbers[-1]}'
    return f'spans {", ".join(map(str, numbers[:-1]))} and {numbers[-1]}'


def time_of(moment: datetime.datetime) -> str:
    """A time in the local time zone, to the minute."""
    return f'{moment.astimezone():%Y-%m-%d %H:%M}'


def unwrapped(line: str) -> 'Text':
    """A line below a table; a terminal may wrap it, but inserts no line break into a path."""
    from rich.text import Text

    return Text(one_line(line), no_wrap=True, overflow='ignore')


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]) -> 'Table':
    """A table without lines, which a terminal may fold; `right` are the columns with numbers."""
    from rich.markup import escape
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    for column in columns:
        side: Literal['left', 'right'] = 'right' if column in right else 'left'
        shown.add_column(escape(column), overflow='fold', justify=side)
    for row in rows:
        shown.add_row(*map(escape, row))
    return shown


def describe_gate(gate: GateDecision) -> str:
    """The metric that decides, in one line: its minimum, the reference model and what changed."""
    value = 'undefined' if gate.value is None else f'{gate.value:.4f}'
    minimum = 'none' if gate.minimum is None else f'{gate.minimum:.4f}'
    line = f'test {gate.metric.replace("_", " ")} {value} (n={gate.images:,}, minimum {minimum}'
    if gate.comparison is None:
        return f'{line}, no reference model)'
    reference = f'reference model {gate.comparison.reference:.4f}'
    return f'{line}, {reference}); {gate.comparison.describe_changes()}'


def describe_left_out(images: int | None, left_out: Mapping[str, int]) -> list[str]:
    """`90 of 269 images are left out: 88 unknown class, 2 truncated`; empty if all are used."""
    if not left_out:
        return []
    count = sum(left_out.values())
    reasons = ', '.join(f'{number:,} {reason}' for reason, number in left_out.items())
    return [f'{count:,} of {(images or 0) + count:,} images are left out: {reasons}']


def to_json(value: Any) -> str:
    """Dataclasses and pydantic models as indented JSON, with times in ISO 8601."""
    return pydantic_core.to_json(value, indent=1).decode()


def dotted(values: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Flattens nested mappings: `{'a': {'b': 1}}` becomes `{'a.b': 1}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= dotted(value, f'{prefix}{key}.')
        else:
            flat[f'{prefix}{key}'] = value
    return flat


def require_text(what: str, text: str) -> str:
    """Returns a text that is recorded; raises ConfigError if it is not valid Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f'{what} is not valid UTF-8') from None
    return text
