"""Formats spans and times for the console."""

import datetime
from collections.abc import Sequence


def format_spans(numbers: Sequence[int]) -> str:
    """Formats sorted span numbers: `span 4`, `spans 1 and 3`, `spans 2 to 5`."""
    if len(numbers) == 1:
        return f'span {numbers[0]}'
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f'spans {numbers[0]} to {numbers[-1]}'
    return f'spans {", ".join(map(str, numbers[:-1]))} and {numbers[-1]}'


def time_of(moment: datetime.datetime) -> str:
    """Formats a time in the local time zone, to the minute."""
    return f'{moment.astimezone():%Y-%m-%d %H:%M}'
