"""The `report` command."""

import os
import webbrowser
from typing import Any

import click

from common.files import write_atomically
from pipeline.commands.options import Command, load, show, stored_options
from pipeline.models.mounts import mounted_store
from pipeline.report.page.render import render_comparison
from pipeline.report.store import (
    COMPARISON,
    REPORTS,
    choose_run,
    page_of,
    read_report,
    reported_runs,
)
from pipeline.report.text import as_text
from pipeline.run.record import read_runs


@click.command(cls=Command)
@click.argument('run', default='last')
@stored_options
@click.option('--text', is_flag=True, help='Print the gate decision, rule by rule.')
@click.option('--compare', nargs=2, metavar='A B', help='Compare two runs on one page.')
@click.option('--no-open', is_flag=True, help='Do not open a browser.')
def report(
    run: str, text: bool, compare: tuple[str, str] | None, no_open: bool, **options: Any
) -> None:
    """Open the report of a run, or compare two.

    RUN is last, previous, or the id of a run or its prefix, see `runs`. A report shows the state at
    the end of its run.
    """
    recipe = load(**options)
    home = recipe.home
    if not home.is_dir():
        mounted_store(recipe)  # the volume may be that of other machines
    if text:
        runs = [each for each in read_runs(home) if each.person is None]  # no overrides
        show(as_text(choose_run(runs, run, home)))
        return
    reported = reported_runs(home)
    if compare:
        page = home / REPORTS / COMPARISON
        data = [read_report(home, choose_run(reported, name, home)) for name in compare]
        write_atomically(page, render_comparison(*data))
    else:
        page = page_of(home, choose_run(reported, run, home).id)
        page.stat()  # raises FileNotFoundError if it was removed
    show(str(page))
    display = os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
    if display and not os.environ.get('CI') and not no_open:
        webbrowser.open(page.as_uri())
