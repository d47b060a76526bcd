"""Durations of the parts of a training."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path


class Timings:
    """Duration in seconds, and number of images if known, of each named part."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, float]] = {}

    @contextlib.contextmanager
    def part(self, name: str, images: int = 0) -> Iterator[dict[str, float]]:
        """Measures the block; it may set 'images' of the yielded record later."""
        start = time.perf_counter()
        measured: dict[str, float] = {'seconds': 0, 'images': images}
        yield measured
        measured['seconds'] = time.perf_counter() - start
        self._parts[name] = measured

    def write(self, path: Path) -> None:
        """Writes all parts as JSON."""
        path.write_text(json.dumps(self._parts, indent=1))
