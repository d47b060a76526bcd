"""TFX's ImportExampleGen for records that are canonical already."""

from pathlib import Path
from typing import Any

from tfx.components.example_gen.driver import FileBasedDriver
from tfx.components.example_gen.import_example_gen.component import ImportExampleGen
from tfx.components.example_gen.input_processor import InputProcessor
from tfx.proto import example_gen_pb2

from common import features
from components.image_example_gen.sources.spans import span_folders
from components.image_example_gen.sources.tfrecord.canonical import FILES, fingerprint_of

_FIRST = 1  # as `open_window` numbers what does not come in spans


class NewestRecords(InputProcessor):
    """Which records are imported: those of the newest span.

    TFX's own gives folders without spans the number 0 and makes a fingerprint of its own; a
    schedule that compares spans with those that runs have used would take them for others.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(splits=[])
        self._path = path
        self._number, self._folder = _newest(path)  # once: another may arrive meanwhile

    def get_latest_span(self) -> int:
        return self._number

    def resolve_span_and_version(self) -> tuple[int, int | None]:
        """The newest span; records have no versions."""
        return self._number, None

    def get_pattern_for_span_version(self, pattern: str, span: int, version: int | None) -> str:
        """The pattern below the folder of the span."""
        return str(self._folder.relative_to(self._path) / pattern)

    def get_input_fingerprint(self, span: int, version: int | None) -> str:
        """The same as of the source."""
        return fingerprint_of(self._folder)


class NewestRecordsDriver(FileBasedDriver):
    """Looks which span is the newest; its fingerprint becomes part of the cache's key."""

    def get_input_processor(
        self, splits: Any, range_config: Any = None, input_base_uri: str | None = None
    ) -> InputProcessor:
        """What `run` asks for span, fingerprint and patterns."""
        del splits, range_config  # the patterns are relative to the span
        assert input_base_uri
        return NewestRecords(Path(input_base_uri))


class ImportCanonicalExamples(ImportExampleGen):
    """Takes over the records of the newest span, each split as it is.

    The output `examples` has what that of ImageExampleGen has: three splits, and the properties
    `span` and `input_fingerprint`. Beam shuffles the records, for which the runner in memory holds
    them all, and writes them gzipped.
    """

    DRIVER_CLASS = NewestRecordsDriver

    def __init__(self, path: Path) -> None:
        splits = [
            example_gen_pb2.Input.Split(name=split, pattern=f'Split-{split}/{FILES}*')
            for split in features.SPLITS
        ]
        super().__init__(input_base=str(path), input_config=example_gen_pb2.Input(splits=splits))


def _newest(path: Path) -> tuple[int, Path]:
    """Number and folder of the newest span."""
    folders = span_folders(path)
    return max(folders.items()) if folders else (_FIRST, path)
