"""The `report` command."""

import os
import webbrowser
from typing import Any

import click

from pipeline.commands.options import OPERATION_CODES, load, recipe_options, show


@click.command(epilog=OPERATION_CODES)
@click.argument('run', default='last')
@recipe_options
@click.option('--text', is_flag=True, help='Print the gate decision, rule by rule.')
@click.option('--compare', nargs=2, metavar='A B', help='Compare two runs on one page.')
@click.option('--no-open', is_flag=True, help='Do not open a browser.')
def report(
    run: str, text: bool, compare: tuple[str, str] | None, no_open: bool, **options: Any
) -> None:
    """Open the report of a RUN: last, previous, or a run id or its prefix, see `runs`.

    A report shows the state at the end of its run.
    """
    recipe = load(**options)
    from pipeline.report.store import (
        COMPARISON,
        REPORTS,
        choose_run,
        page_of,
        read_report,
        reported_runs,
    )
    from pipeline.run.record import read_runs

    if not recipe.home.is_dir():
        from pipeline.models.mounts import mounted_store

        mounted_store(recipe)  # the volume may be that of other machines
    if text:
        from pipeline.report.text import as_text

        runs = [each for each in read_runs(recipe.home) if each.person is None]  # no overrides
        show(as_text(choose_run(runs, run, recipe.home)))
        return
    reported = reported_runs(recipe.home)
    if compare:
        from common.files import write_atomically
        from pipeline.report.page.render import render_comparison

        page = recipe.home / REPORTS / COMPARISON
        compared = [choose_run(reported, name, recipe.home) for name in compare]
        data = [read_report(recipe.home, each) for each in compared]
        write_atomically(page, render_comparison(*data))
    else:
        page = page_of(recipe.home, choose_run(reported, run, recipe.home).id)
        page.stat()  # raises FileNotFoundError if it was removed
    show(str(page))
    display = os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
    if display and not os.environ.get('CI') and not no_open:
        webbrowser.open(page.as_uri())
