"""Commands for Kubeflow, and the local schedule."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from common import console, stack
from common.errors import ConfigError
from common.files import write_atomically
from pipeline.commands.options import (
    RECIPE_CODES,
    PathType,
    arguments,
    choose_recipe,
    load,
    recipe_options,
    show,
)

_CLUSTER_CODES = (
    'Exit codes: 0 done; 1 a request to Kubeflow failed; 2 wrong usage or configuration; '
    '130 interrupted.'
)
_SCHEDULE_CODES = (
    'Exit codes: 0 ended by SIGTERM; 2 wrong usage, configuration, data or weights; '
    '130 interrupted.'
)
_RUNNER = Path(__file__).absolute().parents[2] / 'pipeline_runner.py'


def _cron_option(*, required: bool) -> Callable[[Any], Any]:
    help_text = "Five fields, as in '0 2 * * 1-5'."
    return click.option('--cron', metavar='CRON', required=required, help=help_text)


_timezone_option = click.option(
    '--timezone', default='UTC', show_default=True, help='As in Europe/Berlin.'
)


@click.command('compile', epilog=RECIPE_CODES)
@recipe_options
@click.option(
    '--output',
    '-o',
    type=PathType(path_type=Path),
    default='pipeline.yaml',
    show_default=True,
    help='The file to write.',
)
def compile_(output: Path, **options: Any) -> None:
    """Compile a recipe for Kubeflow Pipelines 2."""
    recipe = load(**options)
    if not output.parent.is_dir():  # before the slow compilation
        raise ConfigError(f'folder {output.parent} does not exist')
    stack.set_tensorflow_log_level(3)
    from pipeline.kubeflow.compiler import compile_kubeflow, find_local_settings

    write_atomically(output, compile_kubeflow(recipe))
    for note in find_local_settings(recipe):
        click.echo(console.printable(f'note: {note}'), err=True)
    show(f'{recipe.name} is written to {output}')


@click.command(epilog=_SCHEDULE_CODES)
@recipe_options
@_cron_option(required=True)
@_timezone_option
def schedule(cron: str, timezone: str, **options: Any) -> None:
    """Retrain on a cron schedule on this machine, in the foreground.

    On Kubeflow: submit --cron.
    """
    recipe = load(**options)
    from pipeline.retraining.cron import parse_schedule

    wanted = parse_schedule(cron, timezone)
    from pipeline.retraining.scheduler import run_schedule

    stack.set_tensorflow_log_level(3)
    # All ticks take this recipe, also one that --config did not name.
    options['config'], _ = choose_recipe(options['config'])
    tick = [sys.executable, str(_RUNNER), 'run', '--if-new', *arguments(**options)]
    sys.exit(run_schedule(recipe, wanted, tick))


@click.command(epilog=_CLUSTER_CODES)
@recipe_options
@_cron_option(required=False)
@_timezone_option
def submit(cron: str | None, timezone: str, **options: Any) -> None:
    """Run a recipe on Kubeflow Pipelines: now, or with --cron on a schedule.

    A recipe has one schedule; a new one replaces it. `kfp recurring-run` lists and deletes them.
    """
    if cron is None and timezone != 'UTC':
        raise click.UsageError('--timezone needs --cron')
    recipe = load(**options)
    from pipeline.retraining.cron import parse_schedule

    wanted = parse_schedule(cron, timezone) if cron is not None else None
    from pipeline.kubeflow.client import submit_recipe
    from pipeline.run.record import utc_now

    stack.set_tensorflow_log_level(3)
    started = submit_recipe(recipe, wanted)
    if wanted is None:
        show(f'{recipe.name} runs: {started}')
        return
    words = wanted.in_words()
    show(f'{recipe.name} runs {words[0].lower() + words[1:]}, as {started}')
    show(f'next run: {wanted.after(utc_now()):%a %Y-%m-%d %H:%M %Z}')
