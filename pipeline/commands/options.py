"""Options that several commands share, and the recipe that they choose."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common import console
from common.errors import ConfigError
from common.mirror import uri_of
from common.redaction import redacted
from pipeline.config.recipe import Recipe, find_recipe, load_recipe, parse_override

if TYPE_CHECKING:
    from rich.console import RenderableType

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

RECIPE, RECIPE_FILE = 'CATDOG_RECIPE', 'recipe.yaml'  # environment variable; in the current folder
_DEFAULT_RECIPE = 'demo'


class PathType(click.Path):
    """A path or a URL; `~` is the home folder, which shells leave as it is after `=`."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        expanded = os.path.expanduser(value)  # noqa: PTH111 - a Path would change URLs
        return super().convert(expanded, param, ctx)


class RecipeOption(click.Option):
    """An option that chooses a recipe or changes its keys."""


class Command(click.Command):
    """A command whose help has its own options first, and then those of the recipe."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for title, is_shared in (('Options', False), ('Recipe', True)):
            shown = [each for each in options if isinstance(each, RecipeOption) == is_shared]
            if records := list(filter(None, (each.get_help_record(ctx) for each in shown))):
                with formatter.section(title):
                    formatter.write_dl(records)


class Group(click.Group, Command):
    """A group of such commands, with options of its own."""

    command_class = Command


_recipe_option = functools.partial(click.option, cls=RecipeOption)
_config = _recipe_option(
    '--config',
    '-c',
    type=PathType(),
    metavar='RECIPE',
    help=f'A YAML file, or a recipe of configs/. Default: {RECIPE}, else {RECIPE_FILE} in the '
    f'current folder, else {_DEFAULT_RECIPE}.',
)
_set = _recipe_option(
    '--set',
    'overrides',
    multiple=True,
    metavar='KEY=VALUE',
    help='Override a key, as in trainer.batch_size=64. Repeatable.',
)
_data = _recipe_option(
    '--data',
    type=PathType(),
    metavar='PATH|URL',
    help='Your images: a folder with a folder per class, an archive, a CSV file, Parquet, '
    'TFRecords, or a bucket.',
)
_weights = _recipe_option(
    '--weights',
    type=PathType(),
    metavar='TEXT',
    help="'embedded', 'imagenet', 'random' or a Keras weights file.",
)
_workdir = _recipe_option(
    '--workdir', type=PathType(), metavar='FOLDER|URL', help='Folder for runs, models and metadata.'
)
json_option = click.option('--json', 'as_json', is_flag=True, help='Print JSON.')


def cron_options(*, required: bool) -> Decorator:
    """Decorator that adds the options of a schedule."""
    cron = "Five fields, as in '0 2 * * 1-5'."
    zone = 'As in Europe/Berlin.'

    def add(command: Callable[..., None]) -> Callable[..., None]:
        command = click.option('--timezone', default='UTC', show_default=True, help=zone)(command)
        return click.option('--cron', metavar='CRON', required=required, help=cron)(command)

    return add


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator that adds the options that tell where runs are: a recipe and a folder."""
    return _config(_workdir(command))


def stored_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator that adds the options of commands that read or change what runs have stored."""
    return _config(_set(_workdir(command)))


def recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorator that adds the options of commands that use the data or the weights, too."""
    return _config(_set(_data(_weights(_workdir(command)))))


def load(
    config: str | None = None,
    overrides: tuple[str, ...] = (),
    workdir: str | None = None,
    data: str | None = None,
    weights: str | None = None,
    *,
    remote: bool = False,
    keeps_groups: bool = True,
) -> Recipe:
    """Loads the recipe from the values of `recipe_options` or `stored_options`.

    Names a recipe that was not given by --config on standard error. Only commands with `remote`
    accept a workdir in object storage. Without `keeps_groups`, `data` of another source than the
    recipe's has no groups.

    Raises:
        ConfigError: an option, the environment variable CATDOG_RECIPE or the recipe is wrong.
    """
    given = {'trainer.weights': weights, 'workdir': workdir}
    changes = [(key, value) for key, value in given.items() if value is not None]
    name, origin = choose_recipe(config)
    changes = [*map(parse_override, overrides), *changes]
    recipe = load_recipe(name, changes, data, keeps_groups=keeps_groups)
    if recipe.is_remote and not remote:
        raise ConfigError(
            'workdir: this command needs a folder on a disk or volume, not '
            f'{uri_of(recipe.workdir)}'
        )
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
    if name := os.path.expanduser(os.environ.get(RECIPE, '')):  # noqa: PTH111 - as in PathType
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


def show(result: 'str | RenderableType') -> None:
    """Prints the result of a command: text on one line or more, tables fitted to the terminal."""
    if isinstance(result, str):
        click.echo(console.printable(result))
    else:
        console.show(result)
