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
import logging.handlers
import os
import sys
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from common.files import naming

if TYPE_CHECKING:  # rich takes a tenth of the time of a command that prints no table
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.progress import Progress, TaskID
    from rich.segment import Segment
    from rich.text import Text

PACKAGES = ('common', 'components', 'trainer', 'pipeline')
_PLAIN_WIDTH = 100_000  # without a terminal, where a row of a table is one line
_LOG_FORMAT = '%(asctime)s %(levelname)s %(name)s: %(message)s'
_TITLE_DELAY = 1.0  # seconds

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
    indentation: str = ''
    quiet: bool = False
    title: '_Title | None' = None
    phase: 'Progress | None' = None  # the bars of a phase


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


def indented() -> contextlib.AbstractContextManager[None]:
    """Indents the lines of all threads by two spaces while the block runs."""
    return _changed(indentation=f'{_state.indentation}  ')


@contextlib.contextmanager
def titled(title: str) -> Iterator[None]:
    """Prints `title ...` above the output of the block.

    The title is printed before the first line of the block, after one second, or when the block
    raises an exception. A short block without output has none. The log file always has it.
    """
    _log.info('%s ...', title, extra={'log_only': True})
    line = _Title(title)
    timer = threading.Timer(_TITLE_DELAY, line.show)
    timer.daemon = True
    timer.start()
    try:
        with _changed(title=line):
            yield
    except BaseException:
        line.show()
        raise
    finally:
        timer.cancel()
        timer.join()


def show(table: 'RenderableType') -> None:
    """Prints a table or another rich renderable, fitted to the width of a terminal.

    Elsewhere, as in a pipe, no line is wrapped.
    """
    if not _state.quiet:
        _show_title()
        console = _console()
        if console.is_terminal:
            console.print(table, soft_wrap=False)
            return
        with console.capture() as printed:
            console.print(table, soft_wrap=False)
        for line in printed.get().splitlines():
            console.print(line.rstrip(), markup=False)


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Hides what this process and its libraries in C++ write to standard error in the block."""
    try:
        kept = os.dup(2)
    except OSError:  # closed, as by `2>&-`
        yield
        return
    with Path(os.devnull).open('w') as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def output_stream() -> TextIO:
    """The stream that receives the output."""
    return _state.stream or sys.stdout


def styled(words: str, style: str, *, always: bool = False) -> dict[str, Any]:
    """The `extra` of a log record that has words in a style of rich.

    The words are styled on a terminal only, such as `bold green`; `always` prints inside `quiet`.
    """
    return {'styled': (words, style), 'always': always}


@contextlib.contextmanager
def phase(name: str, text: str) -> Iterator[None]:
    """Shows a bar with a text on a terminal while the block runs, and the bars of the block below.

    They vanish afterwards; in a file there are none. Records of level INFO go to the log file only.
    """
    _log.info('%s ...', text, extra={'log_only': True})
    disabled = _state.quiet or not _console().is_terminal
    with _progress(transient=True, disable=disabled) as bars, _changed(phase=bars):
        bars.add_task(name, total=None, of='', text=text)
        yield


class Bar:
    """A progress bar followed by a text. It moves on a terminal, and is one line in a file."""

    def __init__(self, progress: 'Progress', task: 'TaskID', text: str) -> None:
        self._progress = progress
        self._task = task
        self.steps, self.text = 0, text

    def advance(self, steps: int = 1, text: str | None = None) -> None:
        self.steps += steps
        self.text = self.text if text is None else text
        self._progress.update(self._task, completed=self.steps, text=self.text)


@contextlib.contextmanager
def bar(description: str, total: int | None, text: str = '') -> Iterator[Bar]:
    """Shows a progress bar until the block ends; `total` is None if the steps are unknown.

    The log file has its last state.
    """
    _show_title()
    with contextlib.ExitStack() as contexts:
        bars = _state.phase or contexts.enter_context(_progress(disable=_state.quiet))
        of = '' if total is None else f'/{total}'
        task = bars.add_task(description, total=total, of=of, text=text)
        shown = Bar(bars, task, text)
        yield shown
        if _state.phase:
            bars.remove_task(task)
    _log.info('%s %d%s %s', description, shown.steps, of, shown.text, extra={'log_only': True})


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


class _Title:
    """A line that is printed once, unless the console is quiet."""

    def __init__(self, title: str) -> None:
        from rich.text import Text

        self._line = Text.assemble(_state.indentation, (title, 'bold'), ' ...')
        # Threads that log and the timer compete; waiting for each other could deadlock with the
        # lock of the handler.
        self._printed = threading.Lock()

    def show(self) -> None:
        if not _state.quiet and self._printed.acquire(blocking=False):
            _console().print(self._line)


def _show_title() -> None:
    title = _state.title  # another thread may reset the variable
    if title:
        title.show()


class _PrintableFormatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))  # with a traceback, if there is one


class _LineHandler(logging.Handler):
    """Prints records on the console."""

    def emit(self, record: logging.LogRecord) -> None:
        important = record.levelno >= logging.WARNING or getattr(record, 'always', False)
        hidden = (_state.quiet or _state.phase) and not important
        if hidden or getattr(record, 'log_only', False):
            return
        try:
            _show_title()
            _console().print(_line(record, self.format(record)))
        except Exception:
            self.handleError(record)


def _line(record: logging.LogRecord, message: str) -> 'Text':
    from rich.text import Text

    prefix, style = '', ''
    if record.levelno >= logging.ERROR:
        prefix, style = 'error: ', 'red'
    elif record.levelno >= logging.WARNING:
        prefix, style = 'warning: ', 'yellow'
    indentation = '' if _state.quiet or _state.phase else _state.indentation
    line = Text(f'{indentation}{prefix}{message}', style)
    words, style_of_words = getattr(record, 'styled', ('', ''))
    start = line.plain.find(words)
    line.stylize(style_of_words, start, start + len(words))
    return line


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
    console = Console(
        file=stream,
        force_terminal=terminal,
        width=None if terminal else _PLAIN_WIDTH,
        soft_wrap=True,
        highlight=False,
        emoji=False,
    )
    console.push_render_hook(_printable_hook())
    return console


@functools.cache
def _printable_hook() -> Any:
    """A hook of rich that escapes the texts of everything that is printed, such as table cells."""
    from rich.console import RenderHook
    from rich.segment import Segment

    class Printable:
        def __init__(self, renderable: 'RenderableType') -> None:
            self._renderable = renderable

        def __rich_console__(
            self, console: 'Console', options: 'ConsoleOptions'
        ) -> 'Iterator[Segment]':
            for text, style, control in console.render(self._renderable, options):
                yield Segment(text if control else printable(text), style, control)

    class Hook(RenderHook):
        def process_renderables(self, renderables: list[Any]) -> list[Any]:
            return list(map(Printable, renderables))

    return Hook()
