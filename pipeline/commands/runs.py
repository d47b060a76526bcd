"""The commands `runs` and `config`."""

import json
import sys
from typing import Any

import click
import yaml

from common import console
from common.mirror import uri_of
from pipeline.commands.options import (
    Command,
    choose_recipe,
    json_option,
    load,
    place_options,
    recipe_options,
    show,
)
from pipeline.config.recipe import load_recipe
from pipeline.formatting import unwrapped
from pipeline.run import run_list
from pipeline.run.record import read_runs


@click.command(cls=Command)
@place_options
@click.option(
    '--last', type=click.IntRange(1), default=20, show_default=True, help='Number of runs.'
)
@json_option
def runs(config: str | None, workdir: str | None, last: int, as_json: bool) -> None:
    """List live versions, ticks of schedules, and the last runs.

    Only of one recipe with --config. Changed keys are relative to the run before, of the same
    recipe. Runs on Kubeflow are listed where their volume is mounted. --json prints the records.
    """
    recipe = load_recipe(choose_recipe(config)[0], [('workdir', workdir)] if workdir else [])
    homes = [recipe.home] if config else run_list.homes_in(recipe.home.parent)
    with console.output_to(sys.stderr):
        found = {home: read_runs(home) for home in homes}
    shown = run_list.newest(found.values(), last)
    if as_json:
        show(json.dumps([each.model_dump(mode='json') for each in shown], indent=1))
        return
    for home, own in found.items():
        for line in run_list.describe_present(home, own):
            show(unwrapped(line))
    place = recipe.home if config else recipe.home.parent
    show(run_list.as_table(found, shown) if shown else f'no runs in {uri_of(place)}')


@click.command(cls=Command)
@recipe_options
def config(**options: Any) -> None:
    """Print a recipe with the value of every key, without secrets."""
    values = load(remote=True, **options).model_dump(mode='json')
    show(yaml.safe_dump(values, sort_keys=False).rstrip('\n'))
