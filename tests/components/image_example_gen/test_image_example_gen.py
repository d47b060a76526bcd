import json
import logging
import os
from typing import List  # noqa: UP035

import pytest
from image_bytes import encoded
from made_images import picture
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.orchestration import metadata
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from common.errors import DataError
from common.features import EARLIER
from common.metadata_queries import custom_property, read_nodes
from components.image_example_gen.image_example_gen import ImageExampleGen, ImageExampleGenExecutor
from components.image_example_gen.ingestion.quarantine import Quarantine
from components.image_example_gen.sources.base.data_config import DataConfig


@component
def Consumer(
    examples: InputArtifact[List[standard_artifacts.Examples]],  # noqa: UP006
    model: OutputArtifact[standard_artifacts.Model],
) -> None:
    """Stands for the components that train, evaluate and push."""


class Runs:
    """Runs of a pipeline in TFX's LocalDagRunner, on folders of images."""

    def __init__(self, folder, **data):
        self.folder = folder
        self.images = folder / 'images'
        self.config = metadata.sqlite_metadata_connection_config(str(folder / 'metadata'))
        self.data = {'source': 'folder', 'path': self.images, 'min_test_images': 1, **data}

    def add(self, *numbers, span=None):
        for number in numbers:
            place = self.images / f'span-{span}' if span else self.images
            file = place / f'class-{number % 2}' / f'{number}.jpg'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(picture(seed=number)))

    def run(self, **data):
        """Runs the pipeline; returns the kinds of the components that were cached."""
        example_gen = ImageExampleGen(DataConfig(**{**self.data, **data}))
        consumer = Consumer(examples=example_gen.outputs['examples'])
        LocalDagRunner().run(
            Pipeline(
                pipeline_name='pets',
                pipeline_root=str(self.folder / 'artifacts'),
                components=[example_gen, consumer],
                enable_cache=True,
                metadata_connection_config=self.config,
            )
        )
        return [node.kind for node in self.last() if node.cached]

    def last(self):
        """The executions of the last run."""
        with metadata.Metadata(self.config) as handle:
            runs = handle.store.get_contexts_by_type('pipeline_run')
            newest = max(runs, key=lambda run: run.id)
            executions = handle.store.get_executions_by_context(newest.id)
            return read_nodes(handle.store, executions)


ALL = ['ImageExampleGen', 'Consumer']


@pytest.fixture
def runs(tmp_path):
    runs = Runs(tmp_path)
    runs.add(*range(12))
    return runs


def test_unchanged_images_are_cached_before_and_after_growth(runs):
    assert [runs.run() for _ in range(3)] == [[], ALL, ALL]
    first = runs.last()[0].output('examples')
    runs.add(12)

    assert [runs.run() for _ in range(2)] == [[], ALL]
    example_gen = runs.last()[0]
    assert example_gen.input(EARLIER).id == first.id
    runs.add(13)
    assert [runs.run() for _ in range(2)] == [[], ALL]
