"""Commands of runs on this machine: run, retrain, status, runs, config."""

import contextlib
import dataclasses
import datetime
import functools
import logging
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from common.errors import NOT_BLESSED
from pipeline.commands.error_handling import fail
from pipeline.commands.options import (
    OPERATION_CODES,
    RECIPE_CODES,
    PathType,
    choose_recipe,
    command_line,
    json_option,
    load,
    load_to_operate,
    recipe_options,
    show,
)

_RUN_CODES = (
    'Exit codes: 0 blessed or unchanged; 1 a component failed; 2 wrong usage or configuration; '
    '3 finished and not blessed; 130 interrupted.'
)
_TICK_CODES = (
    'Exit codes: 0 completed (pushed, not better, nothing new, or skipped because another tick '
    'runs); 1 failed; 2 wrong usage or configuration; 130 interrupted.'
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
@click.option('--no-cache', is_flag=True, help='Run all components again, also unchanged ones.')
@_output_options
def run(no_cache: bool, as_json: bool, verbose: bool, **options: Any) -> None:
    """Run a recipe on this machine, from images to a pushed model."""
    recipe = load(**options)
    from pipeline.local import run_recipe

    commands = command_line(**options)
    outcome = run_recipe.run(recipe, verbose=verbose, use_cache=not no_cache, commands=commands)
    if outcome.blessed:
        _log.info('next: %s (or predict IMAGE)', commands.command('report'))
    else:
        withdrawn = outcome.model if outcome.manual_override else None
        accept = commands.accept(outcome.settings, withdrawn)
        alternative = f' (or accept this model: {accept})' if accept else ''
        _log.info('next: %s%s', commands.command('why'), alternative)
    if as_json:
        show((recipe.home / run_recipe.SUMMARY_FILE).read_text(encoding='utf-8'))
    sys.exit(0 if outcome.blessed else NOT_BLESSED)


@click.command(epilog=_TICK_CODES)
@recipe_options
@_output_options
def retrain(as_json: bool, verbose: bool, **options: Any) -> None:
    """Train if there are new spans or the live model is old: one tick of a schedule."""
    recipe = load(**options)
    from pipeline.formatting import named
    from pipeline.retraining.tick import retrain as run_tick

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the journal records it as Ctrl-C
    commands = command_line(**options)
    tick = run_tick(recipe, verbose=verbose, commands=commands)
    if tick.removed:
        cold = ['--set=trainer.warm_start=null'] if recipe.trainer.warm_start else []
        rebuild = commands.command('run', *cold)
        _log.warning('to train a model without %s: %s', named(tick.removed), rebuild)
    if as_json:
        show(tick.model_dump_json(indent=1))
    if tick.exit_code:
        fail(tick.reason, tick.exit_code)


@click.command(epilog=OPERATION_CODES)
@recipe_options
@click.option('--last', type=click.IntRange(1), default=10, help='Number of ticks; default: 10.')
@json_option
def status(last: int, as_json: bool, **options: Any) -> None:
    """Show the last ticks, the live model, and the time of the next tick.

    Without ticks, shows the last runs that evaluated a model.
    """
    recipe = load_to_operate(**options)
    from pipeline.formatting import to_json
    from pipeline.registry.mounts import not_mounted
    from pipeline.retraining.cron import utc_now
    from pipeline.retraining.schedule_status import as_table, read_status

    current = read_status(recipe, utc_now(), last)
    show(to_json(current) if as_json else as_table(current))
    if current.missing:
        raise not_mounted(current.missing)


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
    """List the last runs of all recipes, newest first: gate decision, accuracy, changed keys.

    A manual override of a model replaces its decision. Changes are relative to the run before, of
    the same recipe. Runs on Kubeflow are listed where their volume is mounted.
    """
    import json

    from common.console import printable
    from pipeline.config.recipe import load_recipe
    from pipeline.registry.run_list import as_table, homes_in, list_runs

    recipe = load_recipe(choose_recipe(config)[0], [('workdir', workdir)] if workdir else [])
    found, warnings = list_runs([recipe.home] if config else homes_in(recipe.home.parent))
    for warning in warnings:
        click.echo(printable(f'warning: {warning}'), err=True)
    if as_json:
        values = [dataclasses.asdict(each) for each in found[:last]]
        show(json.dumps(values, indent=1, default=datetime.datetime.isoformat))
    else:
        place = recipe.home if config else recipe.home.parent
        show(as_table(found[:last]) if found else f'no runs in {place}')


@click.command(epilog=RECIPE_CODES)
@recipe_options
def config(**options: Any) -> None:
    """Print a recipe with the value of every key, without secrets."""
    import yaml

    values = load(**options).model_dump(mode='json')
    show(yaml.safe_dump(values, sort_keys=False).rstrip('\n'))
