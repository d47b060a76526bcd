"""Results of benchmark runs as JSON, one file per run; those of releases are in `history/`."""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from common.strict_model import StrictModel
from components.evaluation.results import Estimate, wilson

HISTORY = Path(__file__).parent / 'history'


class MeasuredRun(StrictModel):
    """A run of the pipeline or of the plain script."""

    seed: int
    seconds: PositiveFloat  # wall time of the command, with imports
    cpu_seconds: PositiveFloat  # of the command and its subprocesses
    peak_mb: PositiveFloat  # of its largest process
    correct: NonNegativeInt  # test images
    images: PositiveInt  # test images
    parts: dict[str, float]  # seconds: of components, or of the script's parts

    @property
    def accuracy(self) -> Estimate:
        """Test accuracy with its 95 % interval."""
        return wilson(self.correct, self.images)


class PipelineRun(MeasuredRun):
    """A run of the pipeline; `trainer` has the seconds of the Trainer's parts."""

    trainer: dict[str, float]
    beside: dict[str, float] = {}  # of earlier versions: in parallel with others  # noqa: RUF012


class PlainRun(MeasuredRun):
    """A run of the plain script; `epochs` has the seconds of each epoch by stage."""

    epochs: dict[str, tuple[float, ...]]


class GrowthPoint(StrictModel):
    """Cost of a node for a number of images, without the imports."""

    node: str
    images: PositiveInt
    cpu_seconds: float
    peak_mb: float  # of the process, with its libraries
    simulated: bool = False  # generated inputs instead of those of the preceding nodes


class Entry(StrictModel):
    """A benchmark run: pairs of runs with equal seeds, or the growth of the nodes, or both."""

    date: str  # ISO 8601, UTC
    version: str  # of the code: `git describe`
    machine: str
    stack: str
    recipe: str
    changes: dict[str, str] = {}  # overridden keys of the recipe  # noqa: RUF012
    images: NonNegativeInt = 0  # of the source; 0 without pairs
    pipeline: tuple[PipelineRun, ...] = ()
    plain: tuple[PlainRun, ...] = ()
    growth: tuple[GrowthPoint, ...] = ()

    @property
    def ratios(self) -> tuple[float, ...]:
        """Wall time of the pipeline divided by that of the plain script, for each pair."""
        return tuple(
            mine.seconds / plain.seconds
            for mine, plain in zip(self.pipeline, self.plain, strict=False)
        )

    @property
    def ratio(self) -> float | None:
        """Median of the ratios; None without a plain script."""
        return statistics.median(self.ratios) if self.plain else None

    @property
    def series(self) -> str:
        """Runs with the same name are comparable, up to machine and stack."""
        changes = ', '.join(f'{key}={value}' for key, value in self.changes.items())
        return f'{self.recipe}, {self.images:,} images' + (f', {changes}' if changes else '')


def write_entry(entry: Entry, file: Path) -> None:
    """Writes an entry as JSON that differs in few lines between runs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(entry.model_dump(mode='json'), indent=1) + '\n', encoding='utf-8')


def read_entries(files: Iterable[Path]) -> list[Entry]:
    """Reads entries, oldest first.

    Raises:
        SystemExit: a file is missing or is not an entry.
    """
    entries = []
    for file in files:
        try:
            entries.append(Entry.model_validate_json(file.read_bytes()))
        except (OSError, ValueError) as error:
            raise SystemExit(f'{file}: not a benchmark entry: {error}') from None
    return sorted(entries, key=lambda entry: entry.date)


def exceeded(entry: Entry, limit: float) -> str:
    """Returns an error message if the ratio is above the limit, else an empty text."""
    if entry.ratio is None:
        return 'no ratio: the plain script did not run'
    if entry.ratio <= limit:
        return ''
    return (
        f'the pipeline takes {entry.ratio:.2f} times the seconds of the plain script '
        f'(limit {limit:g}): it became slower, or the limit must be measured again'
    )
