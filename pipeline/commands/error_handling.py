"""Starts the command line, and maps errors to exit codes and one line on standard error."""

import atexit
import errno
import gc
import io
import os
import sys
from typing import Any, NoReturn, TextIO

import click

from common import console
from common.errors import INTERRUPTED, USAGE, ConfigError, PipelineError
from common.extras import PACKAGES, how_to_install
from common.files import restrict_umask
from common.redaction import redacted

# Extras by the packages that they install.
_EXTRAS = {package: extra for extra, packages in PACKAGES.items() for package in packages}


class CommandLine(click.Group):
    """A click group that handles expected errors; unexpected ones keep their traceback."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        start_process()
        return super().__call__(*args, **options)

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            try:
                return super().main(*args, **options)
            finally:
                sys.stdout.flush()
        except ConfigError as error:  # a line for each mistake
            fail(str(error), error.exit_code)
        except PipelineError as error:
            fail(console.one_line(str(error)), error.exit_code)
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
            fail(f'the metadata cannot be used: {error}', USAGE)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            hint = '; run the same command again to continue'
            fail(f'interrupted{hint if ctx.invoked_subcommand == "run" else ""}', INTERRUPTED)
        except click.UsageError as error:  # repeats arguments, and a URL may have a password
            message = redacted(console.printable(error.format_message()))
            raise click.UsageError(message, error.ctx) from None


def start_process() -> None:
    """Prepares the process for the libraries, before they are imported.

    File names are UTF-8 whatever the locale: the program restarts in Python's UTF-8 mode if the
    locale has another encoding. Characters that an output cannot encode are escaped. TensorFlow and
    TFX create several hundred thousand permanent objects, so garbage is collected rarely.
    """
    if sys.getfilesystemencoding().lower() != 'utf-8':
        os.environ['PYTHONUTF8'] = '1'  # for child processes
        os.execv(sys.executable, [sys.executable, '-X', 'utf8', *sys.orig_argv[1:]])
    if sys.stdout is None or sys.stderr is None:  # a database would get its file descriptor
        message = 'error: standard output or error is closed; use /dev/null instead'
        click.echo(message, file=sys.stderr or sys.stdout)
        sys.exit(USAGE)
    if isinstance(sys.stdout.buffer, io.RawIOBase):  # by PYTHONUNBUFFERED; see `_can_flush`
        descriptor, encoding = sys.stdout.fileno(), sys.stdout.encoding
        sys.stdout = open(descriptor, 'w', 1, encoding, closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors='backslashreplace')
    if not os.path.isabs(os.path.expanduser('~')):  # noqa: PTH111, PTH117 - Path.home raises
        fail('the home folder is unknown; set the environment variable HOME', USAGE)
    if 'CATDOG_CONTAINER' in os.environ:  # of the image; a user's umask stays
        restrict_umask()
    sys.unraisablehook = _report_unraisable
    gc.set_threshold(200_000, 50, 1000)
    atexit.register(gc.freeze)


def _can_flush(stream: TextIO) -> bool:
    """Whether a stream can be flushed; otherwise Python would fail again at its end."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True


def _report_unraisable(unraisable: 'sys.UnraisableHookArgs') -> None:
    """Hides what destructors, such as that of a ZipFile, raise after the error of a full disk."""
    if getattr(unraisable.exc_value, 'errno', None) != errno.ENOSPC:
        sys.__unraisablehook__(unraisable)


def fail(message: str, code: int) -> NoReturn:
    """Prints an error message and exits."""
    _can_flush(sys.stdout)  # perhaps the disk is full
    click.echo(redacted(console.printable(f'error: {message}')), err=True)
    sys.exit(code)
