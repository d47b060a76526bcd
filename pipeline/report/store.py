"""Stores the reports of runs and finds them by name. Imports no TensorFlow."""

import json
from collections.abc import Sequence
from pathlib import Path

from common.errors import ModelError
from common.files import read_regular, write_atomically
from pipeline.report.page_data import ReportData
from pipeline.run.record import Run, read_runs

REPORTS = 'reports'  # in the home folder of the recipe
COMPARISON = 'comparison.html'  # the latest comparison
LAST_PAGE = 'last_run.html'  # in the home folder: a copy of the latest page of a local run
LAST, PREVIOUS = 'last', 'previous'
_MAX_LISTED = 8  # runs in an error message


def page_of(home: Path, run: str) -> Path:
    """The page of a run; its data has the same name and the suffix `.json`."""
    return home / REPORTS / f'{run}.html'


def store_report(home: Path, data: ReportData, page: str, keep: int) -> None:
    """Writes page and data of a run to the recipe's home folder, and keeps the last reports."""
    path = page_of(home, data.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page)
    own = data.model_dump(mode='json', exclude=set(Run.model_fields))
    write_atomically(path.with_suffix('.json'), json.dumps(own))
    for old in reported_runs(home)[:-keep]:
        page_of(home, old.id).with_suffix('.json').unlink()
        page_of(home, old.id).unlink(missing_ok=True)


def reported_runs(home: Path) -> list[Run]:
    """The runs with a stored report, oldest first."""
    reported = {path.stem for path in (home / REPORTS).glob('*.json')}
    return [run for run in read_runs(home) if run.id in reported]


def read_report(home: Path, run: Run) -> ReportData:
    """Reads the data of the report of a run.

    Raises:
        ModelError: the file is damaged, or of another version of this program.
    """
    path = page_of(home, run.id).with_suffix('.json')
    try:
        own = json.loads(read_regular(path))
        return ReportData.model_validate({**own, **dict(run)})
    except (ValueError, TypeError):  # from pydantic, JSON or UTF-8; no JSON object
        raise ModelError(
            f'{path} is damaged, or was written by another version of this program; it cannot be '
            'compared'
        ) from None


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
