"""The `report` command."""

import os
import webbrowser
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.options import OPERATION_CODES, load_to_operate, recipe_options, show

if TYPE_CHECKING:
    from pipeline.config.recipe import Recipe


@click.command(epilog=OPERATION_CODES)
@click.argument('run', default='last')
@recipe_options
@click.option('--compare', nargs=2, metavar='A B', help='Compare two runs on one page.')
@click.option('--no-open', is_flag=True, help='Do not open a browser.')
def report(run: str, compare: tuple[str, str] | None, no_open: bool, **options: Any) -> None:
    """Open the report of a RUN: last, previous, or a run id or its prefix, see `runs`."""
    recipe = load_to_operate(**options)
    from pipeline.report.present import read_present, update_pages
    from pipeline.report.store import COMPARISON, REPORTS, find_report

    if not recipe.home.is_dir():
        _check_mounted(recipe)

    if compare:
        from common.files import write_atomically
        from pipeline.report.page.render import render_comparison

        page = recipe.home / REPORTS / COMPARISON
        present, found = read_present(recipe), [find_report(recipe.home, name) for name in compare]
        runs = [present.get(each) or each.read() for each in found]  # `read` raises the error
        write_atomically(page, render_comparison(*runs))
    else:
        update_pages(recipe)
        page = find_report(recipe.home, run).page
        page.stat()  # raises FileNotFoundError if it was removed
    show(str(page))
    display = os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
    if display and not os.environ.get('CI') and not no_open:
        webbrowser.open(page.as_uri())


def _check_mounted(recipe: 'Recipe') -> None:
    from pipeline.metadata_store import existing_store
    from pipeline.registry.mounts import check_mounted
    from pipeline.registry.provenance import Provenance

    check_mounted(recipe, Provenance(existing_store(recipe.metadata, recipe.home), recipe.name))
