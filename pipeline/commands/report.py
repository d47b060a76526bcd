"""The `report` command."""

import os
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from common.errors import ModelError
from pipeline.commands.options import load, recipe_options, show

if TYPE_CHECKING:
    from pipeline.config.recipe import Recipe


@click.command()
@click.argument('run', default='last')
@recipe_options
@click.option('--compare', nargs=2, metavar='A B', help='Compare two runs on one page.')
@click.option('--list', 'listed', is_flag=True, help='List the runs that have a report.')
@click.option('--serve', is_flag=True, help='Serve the report on 127.0.0.1 until Ctrl-C.')
@click.option(
    '--port',
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help='Port for --serve; 0 selects a free port.',
)
@click.option('--no-open', is_flag=True, help='Do not open a browser.')
def report(
    run: str,
    compare: tuple[str, str] | None,
    listed: bool,
    serve: bool,
    port: int,
    no_open: bool,
    **options: Any,
) -> None:
    """Open the report of a RUN: last, previous, or a run id or its prefix."""
    recipe = load(**options)
    if listed:
        _list(recipe)
        return
    page = _comparison(recipe, *compare) if compare else _page(recipe, run)
    show(str(page))
    if serve:
        _serve(page, port, no_open)
    elif not no_open and has_display():
        webbrowser.open(page.as_uri())


def has_display() -> bool:
    """Whether a browser can be opened: a graphical session that is not CI."""
    display = bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))
    return display and not os.environ.get('CI')


def _page(recipe: 'Recipe', run: str) -> Path:
    from pipeline.report.store import find_report

    page = find_report(recipe.home, run).page
    page.stat()  # raises FileNotFoundError if it was removed
    return page


def _comparison(recipe: 'Recipe', a: str, b: str) -> Path:
    from common.files import write_atomically
    from pipeline.report.page.render import render_comparison
    from pipeline.report.store import COMPARISON, REPORTS, find_report

    runs = [find_report(recipe.home, name).read() for name in (a, b)]
    path = recipe.home / REPORTS / COMPARISON
    write_atomically(path, render_comparison(*runs))
    return path


def _list(recipe: 'Recipe') -> None:
    from pipeline.report.store import stored_reports

    reports = stored_reports(recipe.home)
    if not reports:
        show('there are no reports')
    for each in reversed(reports):
        try:
            show(f'{each.run_id}  {each.read().standing.word.lower()}')
        except ModelError:
            show(f'{each.run_id}  written by another version of this program')


def _serve(page: Path, port: int, no_open: bool) -> None:
    from pipeline.report.serve import PageServer

    try:
        with PageServer(page, port) as server:
            show(f'serving on {server.address}; stop with Ctrl-C')
            if not no_open and has_display():
                webbrowser.open(server.address)
            server.serve_forever()
    except KeyboardInterrupt:
        click.echo()
