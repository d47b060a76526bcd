"""Spans and times as the console shows them."""

import datetime
from collections.abc import Sequence


def named(numbers: Sequence[int]) -> str:
    """`span 4`, `spans 1 and 3`, `spans 2 to 5`."""
    if len(numbers) == 1:
        return f'span {numbers[0]}'
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f'spans {numbers[0]} to {numbers[-1]}'
    return f'spans {", ".join(map(str, numbers[:-1]))} and {numbers[-1]}'


def time_of(moment: datetime.datetime) -> str:
    """A time as a person reads it, on the clock of this machine."""
    return f'{moment.astimezone():%Y-%m-%d %H:%M}'
