"""ImportExampleGen for canonical records of an earlier ingestion."""

from pathlib import Path
from typing import Any

import numpy as np
from tfx.components.example_gen.driver import FileBasedDriver
from tfx.components.example_gen.import_example_gen.component import ImportExampleGen
from tfx.components.example_gen.import_example_gen.executor import Executor
from tfx.components.example_gen.input_processor import InputProcessor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.proto import example_gen_pb2
from tfx.types import Artifact

from common import features
from common.artifacts import folder_of
from components.image_example_gen.ingestion.record_index import index_records
from components.image_example_gen.sources.spans import FIRST_SPAN, span_folders
from components.image_example_gen.sources.tfrecord.canonical import FILES, fingerprint_of


class NewestSpanProcessor(InputProcessor):
    """Selects the records of the newest span.

    TFX's processors give folders without spans the number 0, and compute another fingerprint than
    CanonicalSource; a schedule, which compares both with earlier runs, would find new data.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(splits=[])
        self._path = path
        # Once, as another span may arrive meanwhile.
        self._number, self._folder = max(span_folders(path).items(), default=(FIRST_SPAN, path))

    def get_latest_span(self) -> int:
        return self._number

    def resolve_span_and_version(self) -> tuple[int, int | None]:
        return self._number, None

    def get_pattern_for_span_version(self, pattern: str, span: int, version: int | None) -> str:
        return str(self._folder.relative_to(self._path) / pattern)

    def get_input_fingerprint(self, span: int, version: int | None) -> str:
        return fingerprint_of(self._folder)


class NewestSpanDriver(FileBasedDriver):
    """Adds the newest span and its fingerprint to the cache key."""

    def get_input_processor(
        self, splits: Any, range_config: Any = None, input_base_uri: str | None = None
    ) -> InputProcessor:
        assert input_base_uri
        return NewestSpanProcessor(Path(input_base_uri))


class IndexingExecutor(Executor):
    """Imports records, and writes their index as ImageExampleGen does."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        super().Do(input_dict, output_dict, exec_properties)
        (examples,) = output_dict['examples']
        folder = folder_of(examples.uri)
        np.save(folder / features.INDEX, index_records(folder))


class ImportCanonicalExamples(ImportExampleGen):
    """Imports the canonical records of the newest span, with unchanged splits.

    The output `examples` has the splits and properties of the output of ImageExampleGen. Beam
    shuffles the records (the in-memory runner holds all of them in memory) and writes them with
    gzip.
    """

    DRIVER_CLASS = NewestSpanDriver
    EXECUTOR_SPEC = BeamExecutorSpec(IndexingExecutor)

    def __init__(self, path: Path) -> None:
        splits = [
            example_gen_pb2.Input.Split(name=split, pattern=f'Split-{split}/{FILES}*')
            for split in features.SPLITS
        ]
        super().__init__(input_base=str(path), input_config=example_gen_pb2.Input(splits=splits))
