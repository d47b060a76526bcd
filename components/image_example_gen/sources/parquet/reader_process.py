"""Calls functions of `reader` in a subprocess with limits of memory and CPU time."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

from common.errors import CallFailed, DataError
from components.image_example_gen.inspection import limited_process

_Parameters = ParamSpec('_Parameters')
_Answer = TypeVar('_Answer')


def call(
    file: Path,
    function: Callable[_Parameters, Iterator[_Answer]],
    *args: _Parameters.args,
    **kwargs: _Parameters.kwargs,
) -> Iterator[_Answer]:
    """Yields the results of a function about a file; one of `reader`, as both are pickled.

    Raises:
        DataError: the function raises any error, or needs more memory or time than it may.
    """
    limits = limited_process.Limits.for_file(file)
    try:
        yield from limited_process.call(limits, function, *args, **kwargs)
    except CallFailed as error:
        raise DataError(f'{file} cannot be read: {error}') from None
