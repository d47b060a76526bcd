"""Options, exit codes and helpers that several commands share."""

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipeline.config.recipe import Recipe

BLESSED, NOT_BLESSED = 0, 3
RUN_CODES = (
    'Exit codes of run: 0 blessed or unchanged; 1 a component failed; 2 wrong usage or '
    'configuration; 3 finished and not blessed; 130 interrupted.'
)

json_option = click.option('--json', 'as_json', is_flag=True, help='Print JSON.')


def recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator that adds the options to choose a recipe and override its keys."""
    options = [
        click.option(
            '--config',
            '-c',
            default='demo',
            show_default=True,
            metavar='RECIPE',
            help='Path of a recipe, or name of a recipe in configs/.',
        ),
        click.option(
            '--set',
            'overrides',
            multiple=True,
            metavar='KEY=VALUE',
            help='Override one key, as in trainer.fine_tune.from_layer=120. Repeatable.',
        ),
        click.option(
            '--data',
            metavar='PATH|URL',
            help='Your own images: a folder with one folder per class, a zip or tar archive of '
            'such a folder (file or URL), a Parquet file, or a folder with Parquet files.',
        ),
        click.option(
            '--weights',
            metavar='WEIGHTS',
            help="'embedded', 'imagenet', 'random' or the path of a Keras weights file.",
        ),
        click.option(
            '--workdir',
            type=click.Path(path_type=Path),
            metavar='FOLDER',
            help='Folder for runs, models and metadata.',
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def load(
    config: str,
    overrides: tuple[str, ...],
    data: str | None,
    weights: str | None,
    workdir: Path | None,
) -> 'Recipe':
    """Loads the recipe from the values of `recipe_options`.

    Raises:
        ConfigError: an option or the recipe is wrong.
    """
    from pipeline.config.recipe import load_recipe, parse_override

    changes = [parse_override(text) for text in overrides]
    if weights is not None:
        changes.append(('trainer.weights', weights))
    if workdir is not None:
        changes.append(('workdir', str(workdir)))
    return load_recipe(config, changes, data)


def arguments(
    config: str,
    overrides: tuple[str, ...],
    data: str | None,
    weights: str | None,
    workdir: Path | None,
) -> list[str]:
    """The values of `recipe_options` as command-line arguments of another process."""
    given = {'--config': config, '--data': data, '--weights': weights, '--workdir': workdir}
    named = [f'{name}={value}' for name, value in given.items() if value is not None]
    return [*named, *(f'--set={each}' for each in overrides)]


def quiet_tensorflow() -> None:
    """Hides TensorFlow's log lines at import, unless the environment sets the log level."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')


def now() -> datetime.datetime:
    """The current time, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def show(what: 'str | RenderableType') -> None:
    """Prints the result of a command: text unchanged, tables fitted to the terminal."""
    if isinstance(what, str):
        click.echo(what)
        return
    from common import console

    console.show(what)
