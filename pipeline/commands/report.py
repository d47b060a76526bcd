"""The `report` command."""

import os
import webbrowser
from typing import Any

import click

from pipeline.commands.options import Command, load, show, stored_options
from pipeline.models.provenance import mounted_store
from pipeline.report.store import choose_run, page_of, reported_runs
from pipeline.report.text import describe_run
from pipeline.run.record import read_runs


@click.command(cls=Command)
@click.argument('run', default='last')
@stored_options
@click.option('--text', is_flag=True, help='Print the gate decision, rule by rule.')
@click.option('--no-open', is_flag=True, help='Do not open a browser.')
def report(run: str, text: bool, no_open: bool, **options: Any) -> None:
    """Open the report of a run.

    RUN is last, previous, or the id of a run or its prefix, see `runs`. A report shows the state at
    the end of its run.
    """
    recipe = load(remote=True, **options)
    home = recipe.home
    if not (recipe.is_remote or home.is_dir()):
        mounted_store(recipe)  # the volume may be that of other machines
    if text:
        runs = [each for each in read_runs(home) if each.person is None]  # no overrides
        show(describe_run(choose_run(runs, run, home)))
        return
    page = page_of(home, choose_run(reported_runs(home), run, home).id)
    show(str(page))
    display = os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
    if display and not os.environ.get('CI') and not no_open:
        webbrowser.open(page.as_uri())
