"""The commands of Kubeflow Pipelines: `compile` and `submit`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from common import console
from common.errors import ConfigError
from common.files import write_atomically
from pipeline.commands.options import Command, PathType, cron_options, load, recipe_options, show
from pipeline.config.metadata_config import SQLITE
from pipeline.config.recipe import Recipe
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
    if not output.parent.is_dir():
        raise ConfigError(f'folder {output.parent} does not exist')
    from pipeline.kubeflow.compiler import compile_kubeflow  # imports kfp

    write_atomically(output, compile_kubeflow(recipe))
    for note in _find_local_settings(recipe):
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
    from pipeline.kubeflow.client import submit_recipe  # imports kfp

    started = submit_recipe(recipe, wanted)
    if wanted is None:
        show(f'{recipe.name} runs: {started}')
        return
    words = wanted.in_words()
    show(f'{recipe.name} runs {words[0].lower() + words[1:]}, as {started}')
    show(f'next run: {wanted.after(utc_now()):%a %Y-%m-%d %H:%M %Z}')


def _find_local_settings(recipe: Recipe) -> Iterator[str]:
    """Yields a warning for each setting that suits one machine; pods share only volumes."""
    volumes = [Path(volume.path) for volume in recipe.kubeflow.volumes]
    if recipe.metadata.address == SQLITE:
        yield 'metadata.address is sqlite; concurrent pods need MySQL or gRPC.'
    if recipe.is_remote and not recipe.kubeflow.secrets:
        yield (
            'kubeflow.secrets is empty; pods read the bucket of workdir with the rights of their '
            'service account.'
        )
    paths = {
        'workdir': None if recipe.is_remote else recipe.workdir,
        'data.path': recipe.data.path,
        'inference.path': recipe.inference.path if recipe.inference else None,
    }
    for key, path in paths.items():
        if path is not None and not any(path.is_relative_to(volume) for volume in volumes):
            yield f'{key} is {path}, which is not on any of kubeflow.volumes.'
