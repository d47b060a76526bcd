"""Console output: log records, progress bars and results.

Modules log to `logging.getLogger(__name__)`. While `output_to` is active, their records are printed
to its stream. Otherwise they propagate to the root logger, as in containers of Vertex AI and in
Beam workers.
"""

import contextlib
import logging
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

PACKAGES = ('common', 'components', 'trainer', 'pipeline', 'pretraining')
_PLAIN_WIDTH = 120
_LOG_FORMAT = '%(asctime)s %(levelname)s %(name)s: %(message)s'

_current: Console | None = None
_indentation = ''


@contextlib.contextmanager
def output_to(stream: TextIO, log: Path | None = None) -> Iterator[None]:
    """Context manager that prints log records, progress bars and results to a stream.

    Prints records of the project's loggers with level INFO or higher. They do not propagate to the
    root logger, where handlers of libraries would print them again. A nested call replaces the
    outer one.

    Args:
        stream: styled and animated if it is a terminal, else plain lines.
        log: file to which records are appended with time, level and logger.
    """
    global _current
    with contextlib.ExitStack() as stack:
        handlers: list[logging.Handler] = [_LineHandler()]
        if log is not None:
            file = logging.FileHandler(log, encoding='utf-8', errors='backslashreplace')
            stack.callback(file.close)
            file.setFormatter(logging.Formatter(_LOG_FORMAT))
            handlers.append(file)
        for name in PACKAGES:
            stack.enter_context(_handled_by(handlers, logging.getLogger(name)))
        previous, _current = _current, _make_console(stream)
        try:
            yield
        finally:
            _current = previous


@contextlib.contextmanager
def indented() -> Iterator[None]:
    """Context manager that indents the output of all threads, as under a component's name."""
    global _indentation
    previous, _indentation = _indentation, f'{_indentation}  '
    try:
        yield
    finally:
        _indentation = previous


def show(result: RenderableType) -> None:
    """Prints a result, such as a table, fitted to the width of the stream."""
    _console().print(result, soft_wrap=False)


def styled(words: str, style: str) -> dict[str, Any]:
    """The `extra` of a log call that styles a part of the message with rich on a terminal."""
    return {'styled': (words, style)}


class Bar:
    """A progress bar followed by a text: animated on a terminal, one line elsewhere."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, steps: int = 1, text: str | None = None) -> None:
        self._progress.advance(self._task, steps)
        if text is not None:
            self._progress.update(self._task, text=text)


@contextlib.contextmanager
def bar(description: str, total: int | None, text: str = '') -> Iterator[Bar]:
    """Context manager that shows a progress bar; `total` is None if unknown."""
    columns = (
        TextColumn('  {task.description:<26}', markup=False),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn('{task.fields[text]}', markup=False),
    )
    with Progress(*columns, console=_console()) as progress:
        yield Bar(progress, progress.add_task(description, total=total, text=text))


class _LineHandler(logging.Handler):
    """Prints records on the console."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            console = _console()
            # Characters that cannot be encoded would stay in rich's buffer and block later lines.
            message = self.format(record).encode(console.encoding, 'backslashreplace')
            console.print(_line(record, message.decode(console.encoding)))
        except Exception:
            self.handleError(record)


def _line(record: logging.LogRecord, message: str) -> Text:
    prefix, style = '', ''
    if record.levelno >= logging.ERROR:
        prefix, style = 'error: ', 'red'
    elif record.levelno >= logging.WARNING:
        prefix, style = 'warning: ', 'yellow'
    line = Text(textwrap.indent(f'{prefix}{message}', _indentation), style)
    words, style_of_words = getattr(record, 'styled', ('', ''))
    start = line.plain.find(words)
    line.stylize(style_of_words, start, start + len(words))
    return line


@contextlib.contextmanager
def _handled_by(handlers: list[logging.Handler], logger: logging.Logger) -> Iterator[None]:
    """Replaces the handlers of a logger and its parents' while the block runs."""
    previous = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = handlers, False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.handlers, level, logger.propagate = previous
        logger.setLevel(level)


def _console() -> Console:
    return _current or _make_console(sys.stdout)


def _make_console(stream: TextIO) -> Console:
    """Console without line wrapping; environment variables cannot make a file a terminal."""
    terminal = stream.isatty()
    width = None if terminal else _PLAIN_WIDTH
    return Console(
        file=stream,
        force_terminal=terminal,
        width=width,
        soft_wrap=True,
        highlight=False,
        emoji=False,
    )
