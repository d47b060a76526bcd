"""Maps errors to exit codes and one line on standard error."""

import os
import sys
from typing import Any, NoReturn

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
}


class CommandLine(click.Group):
    """A click group that handles expected errors; unexpected ones keep their traceback."""

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


def open_standard_streams() -> None:
    """Opens the null device for closed standard streams; ends the program without an output.

    Otherwise the next file that is opened, such as a database, gets the number of the stream, and
    libraries would write their messages into it.
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


def fail(message: str, code: int) -> NoReturn:
    """Prints an error message and exits."""
    click.echo(_shown(f'error: {message}'), err=True)
    sys.exit(code)


def _shown(message: str) -> str:
    """Messages repeat arguments, and a URL in the wrong place may have a password."""
    return without_secrets(console.printable(message))
