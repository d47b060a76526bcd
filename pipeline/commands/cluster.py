"""The commands of Kubeflow Pipelines: `compile` and `submit`."""

from pathlib import Path
from typing import Any

import click

from common import console, stack
from common.errors import ConfigError
from common.files import write_atomically
from pipeline.commands.options import Command, PathType, cron_options, load, recipe_options, show
from pipeline.retraining.cron import parse_schedule
from pipeline.run.record import utc_now


@click.command('compile', cls=Command)
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
    recipe = load(remote=True, **options)
    if not output.parent.is_dir():  # before the slow compilation
        raise ConfigError(f'folder {output.parent} does not exist')
    stack.set_tensorflow_log_level(3)
    from pipeline.kubeflow.compiler import compile_kubeflow, find_local_settings  # imports TFX

    write_atomically(output, compile_kubeflow(recipe))
    for note in find_local_settings(recipe):
        click.echo(console.printable(f'note: {note}'), err=True)
    show(f'{recipe.name} is written to {output}')


@click.command(cls=Command)
@recipe_options
@cron_options(required=False)
def submit(cron: str | None, timezone: str, **options: Any) -> None:
    """Run a recipe on Kubeflow Pipelines: now, or with --cron on a schedule.

    A recipe has one schedule; a new one replaces it. `kfp recurring-run` lists and deletes them.
    """
    if cron is None and timezone != 'UTC':
        raise click.UsageError('--timezone needs --cron')
    recipe = load(remote=True, **options)
    wanted = parse_schedule(cron, timezone) if cron is not None else None
    from pipeline.kubeflow.client import submit_recipe  # imports TFX

    stack.set_tensorflow_log_level(3)
    started = submit_recipe(recipe, wanted)
    if wanted is None:
        show(f'{recipe.name} runs: {started}')
        return
    words = wanted.in_words()
    show(f'{recipe.name} runs {words[0].lower() + words[1:]}, as {started}')
    show(f'next run: {wanted.after(utc_now()):%a %Y-%m-%d %H:%M %Z}')
