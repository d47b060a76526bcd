"""The console: prints log records, progress bars and tables to one stream.

Control characters in texts, such as file names, class names and messages of servers, are escaped:
`printable` does so for every line that a command prints.

Modules log to `logging.getLogger(__name__)`. While `output_to` is active, it prints their records.
Otherwise the records propagate to the root logger, for example in Beam workers.
"""

import contextlib
import dataclasses
import functools
import json
import logging
import os
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from common.files import naming

if TYPE_CHECKING:  # rich takes a tenth of the time of a command that prints no table
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

PACKAGES = ('common', 'components', 'trainer', 'pipeline')
_PLAIN_WIDTH = 100_000  # without a terminal, where a row of a table is one line
_LOG_FORMAT = '%(asctime)s %(levelname)s %(name)s: %(message)s'

_log = logging.getLogger(__name__)


def printable(text: str) -> str:
    """Escapes control and other invisible characters, except spaces and line breaks.

    The escapes are those of JSON, so JSON stays valid; a text that has none is unchanged.
    """
    if text.isprintable():
        return text
    return ''.join(
        each
        if each == '\n' or each.isprintable() or unicodedata.category(each) == 'Zs'
        else '\\u007f'
        if each == '\x7f'
        else json.dumps(each)[1:-1]
        for each in text
    )


def one_line(text: str) -> str:
    """`printable`, with line breaks escaped too."""
    return printable(text).replace('\n', '\\n')


@dataclasses.dataclass
class _State:
    """The state of the console, shared by all threads; None as stream is standard output."""

    stream: TextIO | None = None
    quiet: bool = False
    brief: bool = False  # as in `quiet`, but the log file has everything
    bars: 'Progress | None' = None  # of a phase


_state = _State()


@contextlib.contextmanager
def _changed(**changes: Any) -> Iterator[None]:
    previous = {name: getattr(_state, name) for name in changes}
    vars(_state).update(changes)
    try:
        yield
    finally:
        vars(_state).update(previous)


@contextlib.contextmanager
def output_to(stream: TextIO, log: Path | None = None) -> Iterator[None]:
    """Prints log records, progress bars and tables to a stream while the block runs.

    Prints records of this project's loggers, from level INFO. They do not propagate to the root
    logger, because handlers that libraries install there would print them again. In nested calls
    the innermost stream is used.

    Args:
        stream: receives colours and moving bars if it is a terminal, else plain lines.
        log: file to which the records are also appended, with time, level and logger name.
    """
    with contextlib.ExitStack() as stack:
        handlers: list[logging.Handler] = [_LineHandler()]
        handlers[0].setFormatter(_PrintableFormatter())
        if log is not None:
            file = logging.FileHandler(log, encoding='utf-8', errors='backslashreplace')
            stack.callback(naming(log)(file.close))  # writes what is buffered
            file.setFormatter(_PrintableFormatter(_LOG_FORMAT))
            handlers.append(file)
        for name in PACKAGES:
            stack.enter_context(_handled_by(handlers, logging.getLogger(name)))
        stack.enter_context(_changed(stream=stream))
        yield


def quiet() -> contextlib.AbstractContextManager[None]:
    """Prints only warnings, errors and records with `extra={'always': True}` in the block."""
    return _changed(quiet=True)


def is_quiet() -> bool:
    """Whether `quiet` is active."""
    return _state.quiet


def show(table: 'RenderableType') -> None:
    """Prints a table or another rich renderable, fitted to the width of a terminal.

    Elsewhere, as in a pipe, no line is wrapped.
    """
    from rich.segment import Segment, Segments

    if _state.quiet:
        return
    console = _console()
    parts = [Segment(printable(each.text), each.style) for each in console.render(table)]
    if console.is_terminal:
        console.print(Segments(parts))
        return
    for line in ''.join(each.text for each in parts).splitlines():
        console.print(line.rstrip(), markup=False)


@contextlib.contextmanager
def redirected(path: Path, *descriptors: int) -> Iterator[None]:
    """Appends to a file what the block writes to file descriptors, such as 1 and 2.

    They are those that libraries in C++ and child processes write to.
    """
    with path.open('ab') as file:
        saved = {each: os.dup(each) for each in descriptors}
        _flush()
        for each in descriptors:
            os.dup2(file.fileno(), each)
    try:
        yield
    finally:
        _flush()
        for each, original in saved.items():
            os.dup2(original, each)
            os.close(original)


def silent_stderr() -> contextlib.AbstractContextManager[None]:
    """Hides what this process and its libraries in C++ write to standard error in the block."""
    return redirected(Path(os.devnull), 2)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def output_stream() -> TextIO:
    """The stream that receives the output."""
    return _state.stream or sys.stdout


@contextlib.contextmanager
def phase(name: str, text: str, *, brief: bool) -> Iterator[None]:
    """Shows a bar with a text on a terminal while the block runs, and the bars of the block below.

    They vanish afterwards; in a file there are none. If `brief`, the records of the block below
    level WARNING go to the log file only.
    """
    disabled = _state.quiet or not _console().is_terminal
    with _progress(transient=True, disable=disabled) as bars, _changed(bars=bars, brief=brief):
        _log.info('%s ...', text)
        bars.add_task(name, total=None, of='', text=text)
        yield


@dataclasses.dataclass
class Bar:
    """A progress bar followed by a text."""

    _progress: 'Progress'
    _task: 'TaskID'
    text: str
    steps: int = 0

    def advance(self, steps: int = 1, text: str | None = None) -> None:
        self.steps += steps
        self.text = self.text if text is None else text
        self._progress.update(self._task, completed=self.steps, text=self.text)


@contextlib.contextmanager
def bar(description: str, total: int | None, text: str = '') -> Iterator[Bar]:
    """Shows a progress bar below that of the phase until the block ends; then logs its last state.

    `total` is None if the steps are unknown.
    """
    bars = _state.bars or _progress(disable=True)
    of = '' if total is None else f'/{total}'
    shown = Bar(bars, bars.add_task(description, total=total, of=of, text=text), text)
    yield shown
    bars.remove_task(shown._task)
    _log.info('%s %d%s %s', description, shown.steps, of, shown.text)


def _progress(**options: Any) -> 'Progress':
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn('  {task.description:<26}', markup=False),
        BarColumn(bar_width=16),
        TextColumn('{task.completed}{task.fields[of]}', markup=False),
        TimeElapsedColumn(),
        TextColumn('{task.fields[text]}', markup=False),
    )
    return Progress(*columns, console=_console(), **options)


class _PrintableFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


class _LineHandler(logging.Handler):
    """Prints records on the console.

    Their `extra` may have a `style` of rich for a terminal, such as `bold green`, and `always`.
    """

    def emit(self, record: logging.LogRecord) -> None:
        from rich.text import Text

        prefix, style = '', getattr(record, 'style', '')
        if record.levelno >= logging.ERROR:
            prefix, style = 'error: ', 'red'
        elif record.levelno >= logging.WARNING:
            prefix, style = 'warning: ', 'yellow'
        elif (_state.quiet or _state.brief) and not getattr(record, 'always', False):
            return
        try:
            _console().print(Text(f'{prefix}{self.format(record)}', style))
        except Exception:
            self.handleError(record)


@contextlib.contextmanager
def _handled_by(handlers: list[logging.Handler], logger: logging.Logger) -> Iterator[None]:
    """Replaces the handlers of a logger and stops propagation while the block runs."""
    previous = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = handlers, False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.handlers, level, logger.propagate = previous
        logger.setLevel(level)


def _console() -> 'Console':
    return _console_of(output_stream())


@functools.lru_cache(maxsize=1)
def _console_of(stream: TextIO) -> 'Console':
    """A console that does not wrap lines. Ignores FORCE_COLOR: only a terminal has colours."""
    from rich.console import Console

    terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=terminal,
        width=None if terminal else _PLAIN_WIDTH,
        soft_wrap=True,
        highlight=False,
        emoji=False,
    )
