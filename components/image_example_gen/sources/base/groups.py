"""Groups of images that stay in one split: a subject, a scene, the frames of a film.

Does not import TensorFlow.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from common.strict_model import StrictModel


def require_one_group(pattern: str) -> str:
    """Raises ValueError unless a regular expression is valid and has one pair of parentheses."""
    try:
        groups = re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f'is not a regular expression: {error}') from None
    if groups != 1:
        raise ValueError(f"needs one pair of parentheses, as in '^([^_]+)_', and has {groups}")
    return pattern


class GroupConfig(StrictModel):
    """`data.group_by` of a recipe: exactly one of three ways to name the group of an image."""

    folder: int | None = Field(
        None,
        ge=1,
        description='folder, archive: level of a folder below the class folder, 1 is the first; '
        'the group is the path down to it',
    )
    pattern: Annotated[str, AfterValidator(require_one_group)] | None = Field(
        None,
        description='regular expression, searched in the file name without folders; the group is '
        'what its one pair of parentheses matches',
    )
    column: str | None = Field(
        None,
        min_length=1,
        description='csv, parquet: a column; tfrecord: a feature; text or integers',
    )

    @model_validator(mode='after')
    def _is_one(self) -> 'GroupConfig':
        if len(self.keys) != 1:
            raise ValueError('needs exactly one of folder, pattern and column')
        return self

    @property
    def keys(self) -> list[str]:
        """The keys that are set: one."""
        return [key for key, value in self if value is not None]


def group_of_path(group_by: GroupConfig | None, path: Sequence[str]) -> str | None:
    """The group of a file, None without one; `path` is relative to its class folder."""
    if group_by is None or group_by.folder is None:
        return group_of_name(group_by, path[-1])
    folders = path[:-1][: group_by.folder]
    return '/'.join(folders) if len(folders) == group_by.folder else None


def group_of_name(group_by: GroupConfig | None, name: str) -> str | None:
    """The group by `pattern` of an image with a file name or path; None without one."""
    if group_by is None or group_by.pattern is None:
        return None
    match = re.search(group_by.pattern, PurePosixPath(name).name)
    return (match[1] or None) if match else None


def group_of_value(value: object) -> str | None:
    """The group by `column` of an image with this value; None without one."""
    return None if value is None else str(value) or None
