"""Results of the serving check."""

from pathlib import Path

from common.files import MEGABYTE
from common.strict_model import StrictModel

MEASUREMENTS_FILE = 'measurements.json'  # in the artifact's folder: Measurements


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


def size_of(model: Path) -> float:
    """Total size of the files in a folder, in megabytes."""
    return sum(path.stat().st_size for path in model.rglob('*') if path.is_file()) / MEGABYTE
