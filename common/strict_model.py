"""Base class of recipes and of results stored as JSON."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidationInfo,
    field_validator,
)

_NAME_BYTES, _PATH_BYTES = 255, 4095  # limits of Linux


class StrictModel(BaseModel):
    """Frozen pydantic model that rejects unknown keys, NaN, infinity, booleans as numbers, and
    empty or too long paths.
    """

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    @field_validator('*', mode='before')
    @classmethod
    def _is_no_boolean_and_a_possible_path(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic takes `true` for the number 1, and an empty path for the working folder."""
        assert info.field_name
        types = set(_leaves(cls.model_fields[info.field_name].annotation))
        if types & {int, float} and not types & {bool, Any} and _has_boolean(value):
            raise ValueError('should be a number, not true or false')
        if Path in types and isinstance(value, str):
            _check_path(value)
        return value


def _check_path(path: str) -> None:
    if not path or '\0' in path:
        raise ValueError('should be a path: not empty, and without null bytes')
    longest = max(len(os.fsencode(part)) for part in path.split('/'))
    if longest > _NAME_BYTES or len(os.fsencode(path)) > _PATH_BYTES:
        raise ValueError(f'path too long: names have at most {_NAME_BYTES} bytes')


def _leaves(annotation: Any) -> Iterator[Any]:
    """Yields the types in an annotation such as `tuple[int, ...] | None`."""
    arguments = get_args(annotation)
    if not arguments:
        yield annotation
    for each in arguments:
        yield from _leaves(each)


def _has_boolean(value: Any) -> bool:
    values = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list | tuple):
        return any(isinstance(each, bool) for each in values)
    return isinstance(value, bool)


def _is_variable_name(name: str) -> str:
    if not (name.isascii() and name.isidentifier()):
        raise ValueError('should be the name of an environment variable, not its value')
    return name


Variable = Annotated[str, AfterValidator(_is_variable_name)]
