"""Formats spans, times, JSON and dotted keys for output."""

import dataclasses
import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel


def named(numbers: Sequence[int]) -> str:
    """`span 4`, `spans 1 and 3`, `spans 2 to 5`."""
    if len(numbers) == 1:
        return f'span {numbers[0]}'
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f'spans {numbers[0]} to {numbers[-1]}'
    return f'spans {", ".join(map(str, numbers[:-1]))} and {numbers[-1]}'


def time_of(moment: datetime.datetime) -> str:
    """A time in the local time zone, to the minute."""
    return f'{moment.astimezone():%Y-%m-%d %H:%M}'


def to_json(value: Any) -> str:
    """Dataclasses and pydantic models as indented JSON, with times in ISO 8601."""
    return json.dumps(value, indent=1, default=_json_value)


def dotted(values: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
    """Flattens nested mappings: `{'a': {'b': 1}}` becomes `{'a.b': 1}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= dotted(value, f'{prefix}{key}.')
        else:
            flat[f'{prefix}{key}'] = value
    return flat


def _json_value(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode='json')
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)
