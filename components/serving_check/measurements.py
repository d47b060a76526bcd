"""Results of the serving check."""

from common.strict_model import StrictModel

MEASUREMENTS_FILE = 'measurements.json'  # in the artifact's folder: Measurements


class Measurements(StrictModel):
    """Measurements of a SavedModel in a subprocess.

    Attributes:
        problems: failed checks, one clause each.
        checks: passed checks, one clause each.
        largest_difference: largest difference from the Trainer's predictions; None without
            predictions.
        load_seconds: time to load the model.
        latency_ms: median latency per image on one core, in milliseconds, after warm-up.
        latency_ms_p95: 95th percentile of the latency.
        memory_mb: peak memory minus memory before loading, in megabytes (10^6 bytes).
        size_mb: size of the SavedModel's files, in megabytes.
    """

    problems: tuple[str, ...]
    checks: tuple[str, ...] = ()
    largest_difference: float | None = None
    load_seconds: float | None = None
    latency_ms: float | None = None
    latency_ms_p95: float | None = None
    memory_mb: float | None = None
    size_mb: float
