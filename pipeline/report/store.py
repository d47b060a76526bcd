"""Stores the reports of runs and finds them by name. Imports no TensorFlow."""

from collections.abc import Sequence
from pathlib import Path

from common.errors import ModelError
from common.files import write_atomically
from pipeline.run.record import Run, read_runs

LAST_PAGE = 'last_run.html'  # in the home folder: a copy of the latest page of a local run
LAST, PREVIOUS = 'last', 'previous'
_MAX_LISTED = 8  # runs in an error message


def page_of(home: Path, run: str) -> Path:
    """The page of a run in the home folder of its recipe."""
    return home / 'reports' / f'{run}.html'


def store_report(home: Path, run: Run, page: str, keep: int) -> None:
    """Writes the page of a run to the recipe's home folder, and keeps the last reports."""
    path = page_of(home, run.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)
    for old in reported_runs(home)[:-keep]:
        page_of(home, old.id).unlink()


def reported_runs(home: Path) -> list[Run]:
    """The runs with a stored report, oldest first."""
    return [run for run in read_runs(home) if page_of(home, run.id).exists()]


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
        raise ModelError(f'there are no runs with a report in {home}; `runs` lists all')
    ids = ', '.join(run.id for run in reversed(runs[-_MAX_LISTED:]))
    count = len(found) or 'no'
    known = LAST if len(runs) == 1 else f'{LAST}, {PREVIOUS}'
    raise ModelError(f'{count} runs match {name!r}; there are {known}, {ids}')
