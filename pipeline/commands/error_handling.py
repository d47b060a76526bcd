"""Maps errors to exit codes and one line on standard error."""

import io
import os
import sys
from typing import Any, NoReturn, TextIO

import click

from common import console
from common.errors import FAILED, INTERRUPTED, USAGE, ConfigError, PipelineError
from common.extras import how_to_install
from common.redaction import without_secrets

# Extras by the packages that they install.
_EXTRAS = {
    'kfp': 'kubeflow',
    'prometheus_client': 'serve',
    'starlette': 'serve',
    'uvicorn': 'serve',
    'werkzeug': 'serve',
}


class CommandLine(click.Group):
    """A click group that handles expected errors; unexpected ones keep their traceback."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        use_utf8()
        return super().__call__(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        open_standard_streams()
        try:
            return super().invoke(ctx)
        except ConfigError as error:  # a line for each mistake
            fail(str(error), error.exit_code)
        except PipelineError as error:
            fail(console.one_line(str(error)), error.exit_code)
        except click.UsageError as error:  # such as an unknown option; click prints it
            message = error.format_message()
            if _shown(message) == message:
                raise
            raise click.UsageError(_shown(message), error.ctx) from None
        except KeyboardInterrupt:
            hint = '; run the same command again to continue'
            fail(f'interrupted{hint if ctx.invoked_subcommand == "run" else ""}', INTERRUPTED)
        except BrokenPipeError:
            raise  # click exits without a message
        except OSError as error:
            if not _can_flush(sys.stdout):
                fail(f'standard output cannot be written: {error.strerror}', USAGE)
            what = f'{error.filename} cannot be used: ' if error.filename else ''
            fail(f'{what}{error.strerror or error}', USAGE)
        except ModuleNotFoundError as error:
            package = (error.name or '').partition('.')[0]
            if package not in _EXTRAS:
                raise
            fail(f'{package} is not installed; {how_to_install(_EXTRAS[package])}', USAGE)
        except Exception as error:
            if type(error).__module__ != 'ml_metadata.errors':  # slow to import
                raise
            fail(f'the metadata cannot be used: {error}', FAILED)


def use_utf8() -> None:
    """Restarts the program in the UTF-8 mode of Python if the locale has another encoding.

    File names are UTF-8 whatever the locale; others would get other names in recipes and records.
    Processes that the program starts take the mode from the environment.
    """
    if sys.getfilesystemencoding().lower() != 'utf-8':
        os.environ['PYTHONUTF8'] = '1'
        os.execv(sys.executable, [sys.executable, '-X', 'utf8', *sys.orig_argv[1:]])


def open_standard_streams() -> None:
    """Opens the null device for closed standard streams; ends the program without an output.

    Otherwise the next file that is opened, such as a database, gets the number of the stream, and
    libraries would write their messages into it. Characters that a stream cannot encode are
    escaped.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, 'w', closefd=False)
    if sys.stdout is None:
        fail('standard output is closed; redirect it to a file or /dev/null', USAGE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')


def _can_flush(stream: TextIO) -> bool:
    """Whether a stream can be written; otherwise Python would fail again at its end."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True


def fail(message: str, code: int) -> NoReturn:
    """Prints an error message and exits."""
    click.echo(_shown(f'error: {message}'), err=True)
    sys.exit(code)


def _shown(message: str) -> str:
    """Messages repeat arguments, and a URL in the wrong place may have a password."""
    return without_secrets(console.printable(message))
