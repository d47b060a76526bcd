"""Limits and results of the serving check. Imports no TensorFlow."""

from pathlib import Path

from pydantic import Field

from common.files import MEGABYTE
from common.storage import storage_of
from common.strict_model import StrictModel

MEASUREMENTS_FILE = 'measurements.json'  # in the artifact's folder: Measurements


class ServingCheckConfig(StrictModel):
    """Limits of ServingCheck: `serving_check:` of a recipe."""

    seconds: int = Field(300, ge=1, le=86_400, description='timeout of the serving check')


class Measurements(StrictModel):
    """Measurements of a SavedModel in a subprocess; a megabyte has 10^6 bytes."""

    problems: tuple[str, ...]  # failed checks, one clause each
    checks: tuple[str, ...] = ()  # passed checks, one clause each
    largest_difference: float | None = None  # from the Trainer's predictions, in passed checks
    load_seconds: float | None = None
    latency_ms: float | None = None  # median per image on one core, after warm-up
    latency_ms_p95: float | None = None  # 95th percentile
    memory_mb: float | None = None  # peak minus memory before loading
    size_mb: float  # of the SavedModel's files

    def describe(self) -> str:
        """One line with the problems, or else the measurements."""
        if self.problems:
            return 'serving check failed: ' + '; '.join(self.problems)
        return (
            f'predictions match training to {self.largest_difference:.0e}; '
            f'{self.latency_ms:.0f} ms per image on one core; '
            f'{self.memory_mb:.0f} MB of memory; {self.size_mb:.1f} MB on disk'
        )


def size_of(model: Path) -> float:
    """Total size of the files in a folder, in megabytes."""
    return sum(storage_of(model).sizes().values()) / MEGABYTE
