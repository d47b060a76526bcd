"""What a person sees while something runs: one console, and bars on it."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

_PLAIN_WIDTH = 120


def make_console(stream: TextIO) -> Console:
    """A console on a stream; lines are not wrapped where it is not a terminal."""
    width = None if stream.isatty() else _PLAIN_WIDTH
    return Console(file=stream, highlight=False, soft_wrap=True, width=width)


def console() -> Console:
    """The console of this process."""
    return _current


_current = make_console(sys.stdout)


@contextlib.contextmanager
def using_console(other: Console) -> Iterator[None]:
    """Lets everything print to another console for a while."""
    global _current
    previous, _current = _current, other
    try:
        yield
    finally:
        _current = previous


class Bar:
    """A progress bar with a text behind it. On a terminal it moves; in a file it is one line."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, steps: int = 1, text: str | None = None) -> None:
        self._progress.advance(self._task, steps)
        if text is not None:
            self._progress.update(self._task, text=text)


@contextlib.contextmanager
def bar(description: str, total: int | None, text: str = '') -> Iterator[Bar]:
    """Shows a bar of `total` steps, None if nobody knows, until the block ends."""
    columns = (
        TextColumn('  {task.description:<26}'),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('{task.fields[text]}'),
    )
    with Progress(*columns, console=console()) as progress:
        yield Bar(progress, progress.add_task(description, total=total, text=text))
