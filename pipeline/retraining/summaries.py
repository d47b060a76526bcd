"""Summaries of spans, kept in a file: a span that left the folder can still be compared with."""

import contextlib
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from common.errors import DataError
from common.files import write_atomically
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.spans import Span, open_span, open_window, span_folders
from pipeline.retraining.drift import Summary, summarise


class Summaries:
    """Summaries by the fingerprints of spans.

    Args:
        path: the JSON file; None: nothing is kept, as on a cluster. It is a cache: one that cannot
            be read or written is done without.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, Summary] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            if path is not None:
                values = json.loads(path.read_text())
                self._known = {key: Summary(**value) for key, value in values.items()}

    def of(self, span: Span) -> Summary:
        """The summary of a span that is there.

        Raises:
            DataError: its images cannot be read.
        """
        fingerprint = span.source.fingerprint
        if fingerprint not in self._known:
            self._known[fingerprint] = summarise(span.source)
            self._write()
        return self._known[fingerprint]

    def of_used(self, config: DataConfig, number: int, fingerprint: str) -> Summary | None:
        """The summary of a span as it was used; None if it is neither kept nor there unchanged."""
        if fingerprint not in self._known:
            for span in _span(config, number):
                if span.source.fingerprint == fingerprint:
                    self.of(span)
        return self._known.get(fingerprint)

    def _write(self) -> None:
        if self._path is None:
            return
        values = {key: dataclasses.asdict(value) for key, value in self._known.items()}
        with contextlib.suppress(OSError):
            write_atomically(self._path, json.dumps(values))


def _span(config: DataConfig, number: int) -> Iterable[Span]:
    """A span by its number, wherever it is in the order; nothing if it is gone or unusable."""
    try:
        folders = span_folders(config.path) if config.path and config.path.is_dir() else {}
        if not folders:
            return [span for span in open_window(config) if span.number == number]
        if number not in folders:
            return []
        return [open_span(config, number, folders[number])]
    except DataError:
        return []
