"""Options and helpers that several commands share."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common import console, stack
from common.errors import ConfigError
from common.redaction import redacted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipeline.config.recipe import Recipe

METADATA_ADDRESS = 'CATDOG_METADATA_ADDRESS'  # environment variable
OPERATION_CODES = (
    'Exit codes: 0 done; 1 the metadata or a folder cannot be written; 2 wrong usage or '
    'configuration, unusable metadata, or no such model; 4 files of earlier runs are not on this '
    'machine; 130 interrupted.'
)
_DEFAULT_RECIPE = 'demo'
_RECIPE_OPTIONS = (
    click.option(
        '--config',
        '-c',
        default=_DEFAULT_RECIPE,
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
        help='Your own images: a folder with one folder per class (s3:// and gs:// as well), a zip '
        'or tar archive of such a folder (file or URL), a Parquet file, or a folder with Parquet '
        'files.',
    ),
    click.option('--weights', help="'embedded', 'imagenet', 'random' or a Keras weights file."),
    click.option('--workdir', metavar='FOLDER', help='Folder for runs, models and metadata.'),
)


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        show(f'catdog-pipeline {version("catdog-pipeline")}, {stack.describe()}')
        context.exit()


version_option = click.option(
    '--version',
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help='Print the versions of the project and of its stack.',
)
json_option = click.option('--json', 'as_json', is_flag=True, help='Print JSON.')


def recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator that adds the options to choose a recipe and override its keys."""
    for option in reversed(_RECIPE_OPTIONS):
        command = option(command)
    return command


def load(
    config: str,
    overrides: tuple[str, ...],
    data: str | None,
    weights: str | None,
    workdir: str | None,
) -> 'Recipe':
    """Loads the recipe from the values of `recipe_options`.

    Raises:
        ConfigError: an option or the recipe is wrong.
    """
    from pipeline.config.recipe import load_recipe, parse_override

    given = {'trainer.weights': weights, 'workdir': workdir}
    changes = [(key, value) for key, value in given.items() if value is not None]
    return load_recipe(config, [*map(parse_override, overrides), *changes], data)


def load_to_operate(overrides: tuple[str, ...], **options: Any) -> 'Recipe':
    """Loads the recipe of a command that reads or overrides models of earlier runs.

    The environment variable CATDOG_METADATA_ADDRESS replaces the address of ML Metadata, which
    another machine may reach by another name. Commands that start or compile runs ignore it.

    Raises:
        ConfigError: an option, the recipe or the variable is wrong.
    """
    if address := os.environ.get(METADATA_ADDRESS):
        from pipeline.config.metadata_config import check_address

        try:
            check_address(address)
        except ValueError as error:
            raise ConfigError(f'the environment variable {METADATA_ADDRESS}: {error}') from None
        overrides = (f'metadata.address={address}', *overrides)
    return load(overrides=overrides, **options)


def arguments(config: str, overrides: tuple[str, ...], **others: str | None) -> list[str]:
    """The values of `recipe_options` as command-line arguments of another process."""
    given = {'config': None if config == _DEFAULT_RECIPE else config, **others}
    named = [f'--{name}={value}' for name, value in given.items() if value is not None]
    return [*named, *(f'--set={each}' for each in overrides)]


def next_command(command: str, *words: str, overrides: tuple[str, ...] = (), **options: Any) -> str:
    """Another command of this program with the same recipe, for a shell; `words` come last.

    It is printed, so it has no secrets: URLs are redacted, and keys of `kubeflow` left out.
    """
    needed = tuple(each for each in overrides if not each.startswith('kubeflow'))
    shown = map(redacted, arguments(overrides=needed, **options))
    interpreted = sys.argv[0].endswith('.py')
    program = [sys.orig_argv[0], sys.argv[0]] if interpreted else [Path(sys.argv[0]).name]
    return shlex.join([*program, command, *shown, *words])


def accept_command(
    settings: Mapping[str, Any],
    *,
    withdrawn: bool = False,
    warm_start: bool = False,
    **options: Any,
) -> str | None:
    """The command that blesses a rejected model; None if no key of the recipe does.

    `settings` are the keys that the gate passes it with, `withdrawn` states that a manual override
    rejects it, and `warm_start` that its training started from the last blessed model.
    """
    if withdrawn:
        return next_command('bless', '--force', '--reason', 'TEXT', **options)
    if not settings:
        return None
    keys = [f'--set={key}={json.dumps(value)}' for key, value in settings.items()]  # JSON is YAML
    if warm_start:  # otherwise `run` trains another model
        keys.insert(0, '--set=trainer.warm_start=latest_blessed')
    return next_command('run', *keys, **options)


def show(result: 'str | RenderableType') -> None:
    """Prints the result of a command: text on one line or more, tables fitted to the terminal."""
    if isinstance(result, str):
        click.echo(console.printable(result))
    else:
        console.show(result)
