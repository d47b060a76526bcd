"""The `report` command."""

import os
import webbrowser
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.options import OPERATION_CODES, load_to_operate, recipe_options, show

if TYPE_CHECKING:
    from pipeline.config.recipe import Recipe
    from pipeline.report.content.page_data import ReportData
    from pipeline.report.store import StoredReport


@click.command(epilog=OPERATION_CODES)
@click.argument('run', default='last')
@recipe_options
@click.option('--compare', nargs=2, metavar='A B', help='Compare two runs on one page.')
@click.option('--list', 'listed', is_flag=True, help='List the runs that have a report.')
@click.option('--no-open', is_flag=True, help='Do not open a browser.')
def report(
    run: str, compare: tuple[str, str] | None, listed: bool, no_open: bool, **options: Any
) -> None:
    """Open the report of a RUN: last, previous, or a run id or its prefix."""
    recipe = load_to_operate(**options)
    from pipeline.report.present import read_present, update_pages
    from pipeline.report.store import COMPARISON, REPORTS, find_report, stored_reports

    if not recipe.home.is_dir():
        _check_mounted(recipe)

    if listed:
        _show_list(stored_reports(recipe.home), read_present(recipe))
        return
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


def _show_list(reports: 'list[StoredReport]', present: 'Mapping[StoredReport, ReportData]') -> None:
    if not reports:
        show('there are no reports')
    for each in reversed(reports):
        if each in present:
            state = present[each].standing
            words = [state.word.lower(), state.repeated_by, state.manual_override]
            show(f'{each.run_id}  {"; ".join(filter(None, words))}')
        else:
            show(f'{each.run_id}  written by another version of this program')
