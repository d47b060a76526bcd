"""Runs on this machine, and what they were."""

import os
import sys
from typing import Any

import click

from pipeline.commands.errors import fail
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
    'Exit codes: 0 a normal end (pushed, not better, nothing new, or another tick is going on); '
    '1 failed; 2 wrong usage or configuration; 130 interrupted; 143 stopped by SIGTERM.'
)


@click.command(epilog=RUN_CODES)
@recipe_options
@click.option('--verbose', is_flag=True, help='Show what the libraries print.')
def run(verbose: bool, **options: Any) -> None:
    """Run a recipe on this machine, from images to a pushed model."""
    recipe = load(**options)
    from pipeline.local.run_recipe import run as run_recipe

    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '0' if verbose else '1')
    outcome = run_recipe(recipe, verbose=verbose)
    sys.exit(BLESSED if outcome.blessed else NOT_BLESSED)


@click.command(epilog=TICK_CODES)
@recipe_options
@click.option('--verbose', is_flag=True, help='Show what the libraries print.')
def retrain(verbose: bool, **options: Any) -> None:
    """Train if there are new spans or the live model is old: one tick of a schedule."""
    recipe = load(**options)
    from pipeline.retraining.tick import retrain as tick

    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '0' if verbose else '1')
    end = tick(recipe, verbose=verbose)
    if end.exit_code:
        fail(end.reason, end.exit_code)


@click.command()
@recipe_options
@click.option(
    '--last',
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar='N',
    help='How many ticks.',
)
@click.option('--json', 'as_json', is_flag=True, help='For programs.')
def status(last: int, as_json: bool, **options: Any) -> None:
    """Show the last ticks, what is live, and when the next tick comes."""
    recipe = load(**options)
    from pipeline.retraining import schedule_status as view

    found = view.read_status(recipe, now(), last)
    show(found.model_dump_json(indent=1) if as_json else view.as_table(found))


@click.command()
@recipe_options
def config(**options: Any) -> None:
    """Print a recipe with every key and its value."""
    import yaml

    values = load(**options).model_dump(mode='json')
    show(yaml.safe_dump(values, sort_keys=False).rstrip('\n'))
