"""The `run` command."""

import contextlib
import signal
import sys
from typing import Any

import click

from common import console, stack
from pipeline.commands.error_handling import fail
from pipeline.commands.options import Command, json_option, load, recipe_options, show
from pipeline.local import run_recipe


@click.command(cls=Command)
@recipe_options
@click.option('--if-new', is_flag=True, help='One tick of a schedule: train only for a reason.')
@click.option('--no-cache', is_flag=True, help='Run all components again, also unchanged ones.')
@click.option('--quiet', is_flag=True, help='Print only warnings, errors and the decision.')
@click.option('--verbose', is_flag=True, help='Print each component and what libraries print.')
@json_option
def run(
    if_new: bool, no_cache: bool, quiet: bool, verbose: bool, as_json: bool, **options: Any
) -> None:
    """Run a recipe on this machine, from images to a pushed model.

    --json prints the record of the run, and all else to standard error.
    """
    if as_json and verbose:
        raise click.UsageError('--json and --verbose exclude each other')
    if if_new and no_cache:
        raise click.UsageError('--if-new and --no-cache exclude each other')
    stack.set_tensorflow_log_level(0 if verbose else 1)
    with contextlib.ExitStack() as contexts:
        if as_json:
            contexts.enter_context(console.output_to(sys.stderr))
        if quiet:
            contexts.enter_context(console.quiet())
        recipe = load(**options)
        if if_new:
            from pipeline.retraining.tick import run_if_new

            signal.signal(signal.SIGTERM, signal.default_int_handler)  # recorded as Ctrl-C
            record = run_if_new(recipe, verbose=verbose)
        else:
            record = run_recipe.run(recipe, verbose=verbose, use_cache=not no_cache)
    if as_json:
        show(record.as_json())
    if if_new and record.exit_code:
        fail('; '.join(record.reasons), record.exit_code)
    sys.exit(record.exit_code)
