"""The `config` command."""

from typing import Any

import click
import yaml

from pipeline.commands.options import Command, load, recipe_options, show


@click.command(cls=Command)
@recipe_options
def config(**options: Any) -> None:
    """Print a recipe with the value of every key, without secrets."""
    values = load(**options).model_dump(mode='json')
    show(yaml.safe_dump(values, sort_keys=False).rstrip('\n'))
