"""Options and helpers that several commands share."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common import console, stack
from common.errors import ConfigError
from common.redaction import redacted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipeline.command_line import CommandLine
    from pipeline.config.recipe import Recipe

RECIPE_CODES = 'Exit codes: 0 done; 2 wrong usage or configuration; 130 interrupted.'
OPERATION_CODES = (
    'Exit codes: 0 done; 1 a push failed; 2 wrong usage or configuration, unusable metadata or '
    'folder, or no such model; 4 files of earlier runs are not on this '
    'machine; 130 interrupted.'
)
RECIPE, RECIPE_FILE = 'CATDOG_RECIPE', 'recipe.yaml'  # environment variable; in the current folder
_DEFAULT_RECIPE = 'demo'


class PathType(click.Path):
    """A path or a URL; `~` is the home folder, which shells leave as it is after `=`."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        expanded = os.path.expanduser(value)  # noqa: PTH111 - a Path would change URLs
        return super().convert(expanded, param, ctx)


_RECIPE_OPTIONS = (
    click.option(
        '--config',
        '-c',
        type=PathType(),
        metavar='RECIPE',
        help='Path of a recipe, or name of a recipe in configs/. Default: the environment variable '
        f'{RECIPE}, else {RECIPE_FILE} in the current folder, else {_DEFAULT_RECIPE}.',
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
        type=PathType(),
        metavar='PATH|URL',
        help='Your own images: a folder with one folder per class, also in train, validation and '
        'test, or with files called CLASS.1.jpg (s3:// and gs:// as well); a zip or tar archive of '
        'such a folder (file or URL); a CSV file of paths and classes; Parquet files; TFRecords.',
    ),
    click.option(
        '--weights',
        type=PathType(),
        metavar='TEXT',
        help="'embedded', 'imagenet', 'random' or a Keras weights file.",
    ),
    click.option(
        '--workdir',
        type=PathType(),
        metavar='FOLDER',
        help='Folder for runs, models and metadata.',
    ),
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
    config: str | None,
    overrides: tuple[str, ...],
    data: str | None,
    weights: str | None,
    workdir: str | None,
) -> 'Recipe':
    """Loads the recipe from the values of `recipe_options`.

    Names a recipe that was not given by --config on standard error.

    Raises:
        ConfigError: an option, the environment variable CATDOG_RECIPE or the recipe is wrong.
    """
    from pipeline.config.recipe import load_recipe, parse_override

    given = {'trainer.weights': weights, 'workdir': workdir}
    changes = [(key, value) for key, value in given.items() if value is not None]
    name, origin = choose_recipe(config)
    recipe = load_recipe(name, [*map(parse_override, overrides), *changes], data)
    if origin and not console.is_quiet():
        click.echo(console.one_line(f'recipe: {redacted(name)}, {origin}'), err=True)
    return recipe


def choose_recipe(config: str | None) -> tuple[str, str]:
    """The recipe of --config, or of the environment, the current folder or the default.

    Returns:
        Its path or name, and where it is from; empty for --config.

    Raises:
        ConfigError: the environment variable CATDOG_RECIPE names no recipe.
    """
    if config is not None:
        return config, ''
    if name := os.environ.get(RECIPE):
        from pipeline.config.recipe import find_recipe

        try:
            find_recipe(name)
        except ConfigError as error:
            raise ConfigError(f'the environment variable {RECIPE}: {error}') from None
        return name, f'by the environment variable {RECIPE}'
    if Path(RECIPE_FILE).is_file():
        return str(Path(RECIPE_FILE).absolute()), 'in the current folder'
    return _DEFAULT_RECIPE, 'the default'


def arguments(config: str | None, overrides: tuple[str, ...], **others: str | None) -> list[str]:
    """The values of `recipe_options` as command-line arguments of another process."""
    given = {'config': config, **others}
    named = [f'--{name}={value}' for name, value in given.items() if value is not None]
    return [*named, *(f'--set={each}' for each in overrides)]


def command_line(
    *, config: str | None = None, overrides: tuple[str, ...] = (), **options: str | None
) -> 'CommandLine':
    """How this program was started, for other commands with the same recipe.

    They are printed and stored, so they have no secrets: URLs are redacted, and keys of `kubeflow`
    left out.
    """
    from pipeline.command_line import CommandLine

    needed = tuple(each for each in overrides if not each.startswith('kubeflow'))
    config = config or os.environ.get(RECIPE)  # which may be set for this command alone
    shown = tuple(map(redacted, arguments(config, needed, **options)))
    interpreted = sys.argv[0].endswith('.py')
    program = (sys.orig_argv[0], sys.argv[0]) if interpreted else (Path(sys.argv[0]).name,)
    return CommandLine(program=program, options=shown)


def show(result: 'str | RenderableType') -> None:
    """Prints the result of a command: text on one line or more, tables fitted to the terminal."""
    if isinstance(result, str):
        click.echo(console.printable(result))
    else:
        console.show(result)
