"""Where the seconds of a training go."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path


class Timings:
    """Seconds, and images where there are any, of each named part."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, float]] = {}

    @contextlib.contextmanager
    def part(self, name: str, images: int = 0) -> Iterator[dict[str, float]]:
        """Times the block; `images` is how many passed through it, or is set in what it gives."""
        start = time.perf_counter()
        measured: dict[str, float] = {'seconds': 0, 'images': images}
        yield measured
        measured['seconds'] = time.perf_counter() - start
        self._parts[name] = measured

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self._parts, indent=1))
