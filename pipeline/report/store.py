"""Where the pages of runs are kept, and how a person names one. Imports no TensorFlow."""

import dataclasses
from pathlib import Path

from common.errors import ModelError
from common.files import write_atomically
from pipeline.report.content.page_data import ReportData

REPORTS = 'reports'  # in the folder of the runs
COMPARISON = 'comparison.html'  # of the two runs that were compared last
LAST, PREVIOUS = 'last', 'previous'
_NAMED = 8  # runs in an error


@dataclasses.dataclass(frozen=True)
class Kept:
    """The page of a run, and beside it what it says as data."""

    run_id: str
    page: Path
    data: Path

    def read(self) -> ReportData:
        """What the page says.

        Raises:
            ModelError: it was written by another version of this program.
        """
        try:
            return ReportData.model_validate_json(self.data.read_text(encoding='utf-8'))
        except ValueError:  # of pydantic, or of bytes that are no text
            raise ModelError(
                f'{self.data} was written by another version of this program; it cannot be compared'
            ) from None


def keep(home: Path, data: ReportData, page: str, most: int) -> Kept:
    """Writes page and data of a run, and removes those of the oldest runs.

    Args:
        home: the folder of the runs.
        data: what the page says.
        page: as HTML.
        most: so many runs are kept.
    """
    folder = home / REPORTS
    folder.mkdir(parents=True, exist_ok=True)
    kept = _kept(folder, data.run_id)
    write_atomically(kept.page, page)
    write_atomically(kept.data, data.model_dump_json())
    for old in kept_reports(home)[:-most]:
        old.data.unlink()
        old.page.unlink(missing_ok=True)
    return kept


def kept_reports(home: Path) -> list[Kept]:
    """All that are kept, oldest first."""
    files = (home / REPORTS).glob('*.json')
    by_age = sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name))
    return [_kept(file.parent, file.name.removesuffix('.json')) for file in by_age]


def find(home: Path, name: str) -> Kept:
    """The page of a run.

    Args:
        home: the folder of the runs.
        name: `last`, `previous`, the id of a run, or a beginning of one that no other has.

    Raises:
        ModelError: there is none, or several begin like that.
    """
    known = kept_reports(home)
    places = {LAST: known[-1:], PREVIOUS: known[-2:-1]}
    exact = [each for each in known if each.run_id == name]
    found = places.get(name) or exact or [each for each in known if each.run_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not known:
        raise ModelError(f'there are no reports in {home / REPORTS} yet; a run writes one')
    ids = ', '.join(each.run_id for each in reversed(known[-_NAMED:]))
    problem = 'there is no report' if not found else f'{len(found)} reports are'
    raise ModelError(f'{problem} called {name!r}; there are {LAST}, {PREVIOUS}, {ids}')


def _kept(folder: Path, run_id: str) -> Kept:
    return Kept(run_id, folder / f'{run_id}.html', folder / f'{run_id}.json')
