"""Commands of runs on this machine: run, runs, config."""

import contextlib
import functools
import json
import logging
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from pipeline.commands.error_handling import fail
from pipeline.commands.options import (
    RECIPE_CODES,
    PathType,
    choose_recipe,
    command_line,
    json_option,
    load,
    recipe_options,
    show,
)

_RUN_CODES = (
    'Exit codes: 0 blessed or unchanged; 1 a component failed; 2 wrong usage or configuration; '
    '3 finished and not blessed (0 with --if-new); 130 interrupted.'
)
_LIST_CODES = 'Exit codes: 0 done; 2 wrong usage or configuration.'

_log = logging.getLogger(__name__)


def _output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator that adds --quiet, --json and --verbose, and configures the console for them."""

    @click.option('--quiet', is_flag=True, help='Print only warnings, errors and the decision.')
    @click.option('--json', 'as_json', is_flag=True, help='Print JSON, and all else to stderr.')
    @click.option(
        '--verbose', is_flag=True, help='Print each component and the output of libraries.'
    )
    @functools.wraps(command)
    def configured(quiet: bool, as_json: bool, verbose: bool, **options: Any) -> None:
        if as_json and verbose:
            raise click.UsageError(
                '--json and --verbose exclude each other: libraries print to standard output'
            )
        from common import console, stack

        stack.set_tensorflow_log_level(0 if verbose else 1)
        with contextlib.ExitStack() as contexts:
            if as_json:
                contexts.enter_context(console.output_to(sys.stderr))
            if quiet:
                contexts.enter_context(console.quiet())
            command(as_json=as_json, verbose=verbose, **options)

    return configured


@click.command(epilog=_RUN_CODES)
@recipe_options
@click.option(
    '--if-new', is_flag=True, help='One tick of a schedule: train only for a reason, see retrain:.'
)
@click.option('--no-cache', is_flag=True, help='Run all components again, also unchanged ones.')
@_output_options
def run(if_new: bool, no_cache: bool, as_json: bool, verbose: bool, **options: Any) -> None:
    """Run a recipe on this machine, from images to a pushed model."""
    recipe = load(**options)
    commands = command_line(**options)
    if if_new and no_cache:
        raise click.UsageError('--if-new and --no-cache exclude each other')
    if if_new:
        from pipeline.retraining.tick import run_if_new

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # recorded as Ctrl-C
        record = run_if_new(recipe, verbose=verbose, commands=commands)
    else:
        from pipeline.local import run_recipe

        record = run_recipe.run(recipe, verbose=verbose, use_cache=not no_cache, commands=commands)
        _log.info('next: %s', commands.short('report'))
    if as_json:
        show(record.as_json())
    if if_new:
        if record.exit_code:
            fail('; '.join(record.reasons), record.exit_code)
        return
    sys.exit(record.exit_code)


@click.command('runs', epilog=_LIST_CODES)
@click.option('--config', '-c', type=PathType(), metavar='RECIPE', help='Only runs of this recipe.')
@click.option(
    '--workdir',
    type=PathType(),
    metavar='FOLDER',
    help='Default: that of the default recipe.',
)
@click.option('--last', type=click.IntRange(1), default=20, help='Number of runs; default: 20.')
@json_option
def runs_(config: str | None, workdir: str | None, last: int, as_json: bool) -> None:
    """List the live versions, the ticks of schedules, and the last runs, newest first.

    Changed keys are relative to the run before, of the same recipe. Runs on Kubeflow are listed
    where their volume is mounted. --json prints the records.
    """
    from common import console
    from pipeline.config.recipe import load_recipe
    from pipeline.formatting import unwrapped
    from pipeline.run import run_list
    from pipeline.run.record import read_runs

    recipe = load_recipe(choose_recipe(config)[0], [('workdir', workdir)] if workdir else [])
    homes = [recipe.home] if config else run_list.homes_in(recipe.home.parent)
    with console.output_to(sys.stderr):
        found = {home: read_runs(home) for home in homes}
    runs = run_list.newest(found.values(), last)
    if as_json:
        show(json.dumps([each.model_dump(mode='json') for each in runs], indent=1))
        return
    for home, own in found.items():
        for line in run_list.describe_present(home, own):
            show(unwrapped(line))
    place = recipe.home if config else recipe.home.parent
    show(run_list.as_table(found, runs) if runs else f'no runs in {place}')


@click.command(epilog=RECIPE_CODES)
@recipe_options
def config(**options: Any) -> None:
    """Print a recipe with the value of every key, without secrets."""
    import yaml

    values = load(**options).model_dump(mode='json')
    show(yaml.safe_dump(values, sort_keys=False).rstrip('\n'))
