"""The `schedule` command."""

import sys
from pathlib import Path
from typing import Any

import click

from common import stack
from pipeline.commands.options import (
    Command,
    arguments,
    choose_recipe,
    cron_options,
    load,
    recipe_options,
)
from pipeline.retraining import scheduler
from pipeline.retraining.cron import parse_schedule

_RUNNER = Path(__file__).absolute().parents[2] / 'pipeline_runner.py'


@click.command(cls=Command)
@recipe_options
@cron_options(required=True)
def schedule(cron: str, timezone: str, **options: Any) -> None:
    """Retrain on a schedule on this machine, in the foreground.

    On Kubeflow: submit --cron.
    """
    recipe, wanted = load(**options), parse_schedule(cron, timezone)
    stack.set_tensorflow_log_level(3)
    # All ticks take this recipe, also one that --config did not name.
    options['config'], _ = choose_recipe(options['config'])
    tick = [sys.executable, str(_RUNNER), 'run', '--if-new', *arguments(**options)]
    sys.exit(scheduler.run_schedule(recipe, wanted, tick))
