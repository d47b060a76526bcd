"""Stores the reports of runs and finds them by name. Imports no TensorFlow."""

import dataclasses
from pathlib import Path

from common.errors import ModelError
from common.files import read_regular, write_atomically
from pipeline.report.content.page_data import ReportData

REPORTS = 'reports'  # in the home folder of the recipe
COMPARISON = 'comparison.html'  # the latest comparison
LAST_PAGE = 'last_run.html'  # in the home folder: a copy of the latest page of a local run
LAST, PREVIOUS = 'last', 'previous'
_MAX_LISTED = 8  # runs in an error message


@dataclasses.dataclass(frozen=True)
class StoredReport:
    """A report, given by the JSON file of its data."""

    data: Path

    @property
    def run_id(self) -> str:
        """The run id, which is the name of the file."""
        return self.data.stem

    @property
    def page(self) -> Path:
        """The page, next to the data."""
        return self.data.with_suffix('.html')

    def read(self) -> ReportData:
        """Reads the data.

        Raises:
            ModelError: the file is damaged, or of another version of this program.
        """
        try:
            return ReportData.model_validate_json(read_regular(self.data))
        except ValueError:  # from pydantic, or a UnicodeDecodeError
            raise ModelError(
                f'{self.data} is damaged, or was written by another version of this program; '
                'it cannot be compared'
            ) from None


def store_report(home: Path, data: ReportData, page: str, keep: int) -> None:
    """Writes page and data of a run to the recipe's home folder, and keeps the last reports."""
    folder = home / REPORTS
    folder.mkdir(parents=True, exist_ok=True)
    report = report_of(home, data.run_id)
    write_atomically(report.page, page)
    write_atomically(report.data, data.model_dump_json())
    for old in stored_reports(home)[:-keep]:
        old.data.unlink()
        old.page.unlink(missing_ok=True)


def report_of(home: Path, run_id: str) -> StoredReport:
    """The report of a run, which may have been removed."""
    return StoredReport(home / REPORTS / f'{run_id}.json')


def stored_reports(home: Path) -> list[StoredReport]:
    """All stored reports, oldest first."""
    files = (home / REPORTS).glob('*.json')
    by_age = sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name))
    return list(map(StoredReport, by_age))


def find_report(home: Path, name: str) -> StoredReport:
    """Finds a report by name: `last`, `previous`, a run id, or a unique prefix of a run id.

    Raises:
        ModelError: no report or several reports match.
    """
    known = stored_reports(home)
    places = {LAST: known[-1:], PREVIOUS: known[-2:-1]}
    exact = [each for each in known if each.run_id == name]
    found = places.get(name) or exact or [each for each in known if each.run_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not known:
        raise ModelError(f'there are no reports in {home / REPORTS}; run the recipe first')
    ids = ', '.join(each.run_id for each in reversed(known[-_MAX_LISTED:]))
    problem = f'{len(found)} reports match' if found else 'no report matches'
    raise ModelError(f'{problem} {name!r}; there are {LAST}, {PREVIOUS}, {ids}')
