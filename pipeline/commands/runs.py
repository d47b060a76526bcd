"""Commands of runs on this machine: run, retrain, status, config."""

import contextlib
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from pipeline.commands.error_handling import fail
from pipeline.commands.options import (
    BLESSED,
    NOT_BLESSED,
    RUN_CODES,
    load,
    now,
    recipe_options,
    show,
)

TICK_CODES = (
    'Exit codes: 0 completed (pushed, not better, nothing new, or skipped because another tick '
    'runs); 1 failed; 2 wrong usage or configuration; 130 interrupted; 143 stopped by SIGTERM.'
)
# Keys of a recipe that say where its runs and models are.
_LOCATION_KEYS = ('name', 'workdir', 'push_directory', 'pipeline_root', 'metadata')

_log = logging.getLogger(__name__)


def _output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of `_output`."""
    options = [
        click.option('--quiet', is_flag=True, help='Print only warnings, errors and the decision.'),
        click.option(
            '--json',
            'as_json',
            is_flag=True,
            help='Print the result as a JSON object, and everything else to standard error.',
        ),
        click.option('--verbose', is_flag=True, help='Print the output of the libraries.'),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@contextlib.contextmanager
def _output(*, quiet: bool, as_json: bool, verbose: bool) -> Iterator[None]:
    """Configures the console and the log level of TensorFlow."""
    if as_json and verbose:
        raise click.UsageError(
            '--json and --verbose exclude each other: libraries print to standard output'
        )
    from common import console

    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '0' if verbose else '1')
    with contextlib.ExitStack() as stack:
        if as_json:
            stack.enter_context(console.output_to(sys.stderr))
        if quiet:
            stack.enter_context(console.quiet())
        yield


@click.command(epilog=RUN_CODES)
@recipe_options
@_output_options
def run(quiet: bool, as_json: bool, verbose: bool, **options: Any) -> None:
    """Run a recipe on this machine, from images to a pushed model."""
    with _output(quiet=quiet, as_json=as_json, verbose=verbose):
        recipe = load(**options)
        from pipeline.local.run_recipe import SUMMARY_FILE
        from pipeline.local.run_recipe import run as run_recipe

        outcome = run_recipe(recipe, verbose=verbose)
        _log.info('next: %s', _next_command(outcome.blessed, **options))
    if as_json:
        show((recipe.home / SUMMARY_FILE).read_text(encoding='utf-8'))
    sys.exit(BLESSED if outcome.blessed else NOT_BLESSED)


def _next_command(
    blessed: bool, config: str, overrides: tuple[str, ...], workdir: Path | None, **_: Any
) -> str:
    """A command for the same recipe that shows the result of a run."""
    interpreted = sys.argv[0].endswith('.py')
    words = [sys.orig_argv[0], sys.argv[0]] if interpreted else [Path(sys.argv[0]).name]
    words += ['report' if blessed else 'why']
    if config != 'demo':
        words += ['--config', config]
    if workdir is not None:
        words += ['--workdir', str(workdir)]
    for override in overrides:
        if override.partition('=')[0].partition('.')[0] in _LOCATION_KEYS:
            words += ['--set', override]
    return shlex.join(words) + (' (or predict IMAGE)' if blessed else '')


@click.command(epilog=TICK_CODES)
@recipe_options
@_output_options
def retrain(quiet: bool, as_json: bool, verbose: bool, **options: Any) -> None:
    """Train if there are new spans or the live model is old: one tick of a schedule."""
    with _output(quiet=quiet, as_json=as_json, verbose=verbose):
        recipe = load(**options)
        from pipeline.retraining.tick import retrain as run_tick

        tick = run_tick(recipe, verbose=verbose)
        if quiet and not tick.exit_code:
            _log.info('%s: %s', tick.verdict, tick.reason, extra={'always': True})
    if as_json:
        show(tick.model_dump_json(indent=1))
    if tick.exit_code:
        fail(tick.reason, tick.exit_code)


@click.command()
@recipe_options
@click.option(
    '--last',
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar='N',
    help='Number of ticks.',
)
@click.option('--json', 'as_json', is_flag=True, help='Print JSON.')
def status(last: int, as_json: bool, **options: Any) -> None:
    """Show the last ticks, the live model, and the time of the next tick."""
    recipe = load(**options)
    from pipeline.retraining import schedule_status as view

    found = view.read_status(recipe, now(), last)
    show(found.model_dump_json(indent=1) if as_json else view.as_table(found))


@click.command()
@recipe_options
def config(**options: Any) -> None:
    """Print a recipe with the value of every key."""
    import yaml

    values = load(**options).model_dump(mode='json')
    show(yaml.safe_dump(values, sort_keys=False).rstrip('\n'))
