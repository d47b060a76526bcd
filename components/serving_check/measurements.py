"""What the serving check found. Imports no TFX."""

from common.strict_model import StrictModel

MEASUREMENTS_FILE = 'measurements.json'  # in the artifact's folder: Measurements


class Measurements(StrictModel):
    """A SavedModel in a process of its own.

    Attributes:
        problems: what does not work, a clause each; none if the model serves.
        checks: what was asked and answered right, a clause each.
        largest_difference: between its answers and the Trainer's to the same requests; None if it
            gave none.
        load_seconds: to load it.
        latency_ms: median milliseconds for one image on one core, first requests left out.
        latency_ms_p95: 95th percentile of the same.
        memory_mb: megabytes (10^6 bytes) that the process holds beyond those it held before it
            loaded the model, at most.
        size_mb: megabytes of all files of the SavedModel.
    """

    problems: tuple[str, ...]
    checks: tuple[str, ...] = ()
    largest_difference: float | None = None
    load_seconds: float | None = None
    latency_ms: float | None = None
    latency_ms_p95: float | None = None
    memory_mb: float | None = None
    size_mb: float
