"""Base class of recipes and of results stored as JSON."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo, field_validator


class StrictModel(BaseModel):
    """Frozen pydantic model that rejects unknown keys, NaN, infinity, booleans as numbers, and
    empty paths.
    """

    model_config = ConfigDict(frozen=True, extra='forbid', allow_inf_nan=False)

    @field_validator('*', mode='before')
    @classmethod
    def _is_no_boolean_and_a_possible_path(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic takes `true` for the number 1, and an empty path for the working folder."""
        assert info.field_name
        types = set(_leaves(cls.model_fields[info.field_name].annotation))
        if isinstance(value, bool) and types & {int, float} and bool not in types:
            raise ValueError('should be a number, not true or false')
        if isinstance(value, str) and Path in types and b'\0' in (os.fsencode(value) or b'\0'):
            raise ValueError('should be a path: not empty, and without null bytes')
        return value

    def write(self, file: Path) -> None:
        """Writes the values as JSON, in a folder that need not exist."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.model_dump_json(indent=1), encoding='utf-8')


def _leaves(annotation: Any) -> Iterator[Any]:
    """Yields the types in an annotation such as `tuple[int, ...] | None`."""
    if not get_args(annotation):
        yield annotation
    for each in get_args(annotation):
        yield from _leaves(each)


def _is_variable_name(name: str) -> str:
    if not (name.isascii() and name.isidentifier()):
        raise ValueError('should be the name of an environment variable, not its value')
    return name


Variable = Annotated[str, AfterValidator(_is_variable_name)]
