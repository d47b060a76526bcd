"""Stores the reports of runs and finds them by name. Imports no TensorFlow."""

from collections.abc import Sequence
from pathlib import Path

from common.errors import ModelError
from common.mirror import uri_of
from common.storage import fetch, storage_of
from pipeline.run.record import Run, read_runs

LAST_PAGE = 'last_run.html'  # in the home folder: a copy of the latest page of a local run
_REPORTS = 'reports'  # folder there
LAST, PREVIOUS = 'last', 'previous'
_MAX_LISTED = 8  # runs in an error message


def page_of(home: Path, run: str) -> Path:
    """The page of a run in the home folder of its recipe; downloads a remote one."""
    path = home / _REPORTS / f'{run}.html'
    fetch(path.parent, path.name, replace=True)
    return path


def store_report(home: Path, run: Run, page: str, keep: int) -> None:
    """Writes the page of a run to the recipe's home folder, and keeps the last reports."""
    storage = storage_of(home)
    storage.write(f'{_REPORTS}/{run.id}.html', page.encode())
    for old in reported_runs(home)[:-keep]:
        storage.remove(f'{_REPORTS}/{old.id}.html')


def reported_runs(home: Path) -> list[Run]:
    """The runs with a stored report, oldest first."""
    pages = {*storage_of(home).names(_REPORTS)}
    return [run for run in read_runs(home) if f'{_REPORTS}/{run.id}.html' in pages]


def choose_run(runs: Sequence[Run], name: str, home: Path) -> Run:
    """Finds one of `runs`, oldest first: `last`, `previous`, an id, or a unique prefix of an id.

    Raises:
        ModelError: no run or several runs match.
    """
    named = {LAST: runs[-1:], PREVIOUS: runs[-2:-1], **{run.id: [run] for run in runs}}
    found = named.get(name) or [run for run in runs if run.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not runs:
        raise ModelError(f'there are no runs with a report in {uri_of(home)}; `runs` lists all')
    ids = ', '.join(run.id for run in reversed(runs[-_MAX_LISTED:]))
    count = len(found) or 'no'
    known = LAST if len(runs) == 1 else f'{LAST}, {PREVIOUS}'
    raise ModelError(f'{count} runs match {name!r}; there are {known}, {ids}')
