"""Classes in the names of image files, such as `cat.0.jpg`. Does not import TensorFlow."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from common.errors import CallFailed, DataError
from components.image_example_gen.inspection.limited_process import Limits, call
from components.image_example_gen.sources.base.groups import GroupConfig

# CLASS.N.jpg, CLASS_N.jpg, CLASS-N.jpg, CLASS N.jpg, CLASS (N).jpg
CLASS_AND_NUMBER = r'^(.*[^\W\d_])[ ._-]+\(?\d+\)?\.\w+$'
# Names that cameras and programs give: a number follows, but they are no classes.
_NO_CLASSES = re.compile(
    r'(img|image|dsc[fn]?|pict?|pxl|mvimg|vid|dcim|photo|picture|pic|foto|scan|file|frame|'
    r'screenshot|screen shot|whatsapp image|untitled|download)',
    re.IGNORECASE,
)
_LIMITS = Limits(seconds=20)  # of all names of a source: some expressions take exponential time


def classes_in_names(pattern: str, names: Sequence[str]) -> list[str | None]:
    """What the parentheses of `data.label_pattern` match in each file name; None if nothing.

    Raises DataError if the matching takes long.
    """
    return _find('data.label_pattern', pattern, names)


def groups_in_names(group_by: GroupConfig | None, names: Sequence[str]) -> list[str | None]:
    """What the parentheses of `data.group_by.pattern` match in each file name; None if nothing.

    Raises DataError if the matching takes long.
    """
    if group_by is None or group_by.pattern is None:
        return [None] * len(names)
    return _find('data.group_by.pattern', group_by.pattern, names)


def _find(key: str, pattern: str, names: Sequence[str]) -> list[str | None]:
    try:
        (found,) = call(_LIMITS, _search, pattern, names)
    except CallFailed as error:
        raise DataError(
            f'{key}: {pattern} cannot be matched with {len(names):,} file names: '
            f'{error}; simplify it'
        ) from None
    return found


def _search(pattern: str, names: Sequence[str]) -> Iterator[list[str | None]]:
    matches = map(re.compile(pattern).search, names)
    yield [(match[1] or None) if match else None for match in matches]


def pattern_of_names(names: Sequence[str]) -> str | None:
    """A `data.label_pattern` for file names that consist of a class and a number.

    None unless each name does, and there are two or more classes, each with two or more images.
    """
    counts: Counter[str] = Counter()
    for name in names:
        match = re.fullmatch(CLASS_AND_NUMBER, name)
        if not match or _NO_CLASSES.fullmatch(match[1]):
            return None
        counts[match[1]] += 1
    return CLASS_AND_NUMBER if len(counts) > 1 and min(counts.values()) > 1 else None
