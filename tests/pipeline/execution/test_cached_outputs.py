"""Damaged outputs are not reused from the cache; tested with TFX's launcher."""

import io
import os
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from common import console, stack
from components.image_example_gen.image_example_gen import ImageExampleGen
from components.image_example_gen.sources.base.data_config import DataConfig
from pipeline.execution import cached_outputs
from pipeline.execution.cached_outputs import find_damage, list_files
from pipeline.execution.compilation import compile_pipeline
from pipeline.execution.launch import NodeResult, read_results
from pipeline.local.runner import ProgressDagRunner

FILES = {'graph.pb': b'nodes', 'weights/first': b'0123', 'weights/second': b'56789'}


@component
def WriteModel(model: OutputArtifact[standard_artifacts.Model]) -> None:
    for name, contents in FILES.items():
        file = Path(model.uri, name)
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(contents)


@component
def ReadModel(
    model: InputArtifact[standard_artifacts.Model],
    examples: OutputArtifact[standard_artifacts.Examples],
) -> None:
    Path(examples.uri, 'copy').write_bytes(Path(model.uri, 'weights/first').read_bytes())


def run_pipeline(folder: Path, components: list) -> tuple[dict[str, NodeResult], str]:
    """Runs a pipeline with its metadata in a folder; returns results and console output."""
    pipeline = Pipeline(
        pipeline_name='small',
        pipeline_root=str(folder / 'artifacts'),
        components=components,
        enable_cache=True,
        metadata_connection_config=sqlite_metadata_connection_config(
            str(folder / 'metadata.sqlite')
        ),
    )
    stream, runner = io.StringIO(), ProgressDagRunner()
    with console.output_to(stream):
        runner.run(pipeline)
    later = read_results(compile_pipeline(pipeline, runner.run_id))  # as on Kubeflow
    assert [(each.node_id, each.cached, each.outputs) for each in later.values()] == [
        (each.node_id, each.cached, each.outputs) for each in runner.results.values()
    ]
    return runner.results, stream.getvalue()


class Runs:
    """Runs of a pipeline with two nodes, and their console output."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self) -> dict[str, bool]:
        """Runs the pipeline; returns whether each node was cached."""
        writer = WriteModel()
        components = [writer, ReadModel(model=writer.outputs['model'])]
        self.results, self.output = run_pipeline(self._folder, components)
        return {name: result.cached for name, result in self.results.items()}

    def model(self) -> Path:
        (artifact,) = self.results['WriteModel'].outputs['model']
        return Path(artifact.uri)


ALL_CACHED = {'WriteModel': True, 'ReadModel': True}
NONE_CACHED = dict.fromkeys(ALL_CACHED, False)


@pytest.fixture
def runs(tmp_path):
    """Runs after a first run."""
    runs = Runs(tmp_path)
    assert runs.run() == NONE_CACHED
    return runs


def test_outputs_with_unchanged_or_new_files_are_cached(runs):
    assert runs.run() == ALL_CACHED
    (runs.model() / 'notes.txt').write_text('mine')
    assert runs.run() == ALL_CACHED
    assert 'runs again' not in runs.output


def test_outputs_of_another_stack_are_not_reused(runs, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(stack, 'libraries', lambda: 'TFX 1.0.0, TensorFlow 2.0.0')
        assert runs.run() == NONE_CACHED
        assert runs.run() == ALL_CACHED
    assert runs.run() == ALL_CACHED


def test_missing_file_reruns_node_and_its_downstream_nodes(runs):
    runs.run()
    before, lost = runs.results['WriteModel'].outputs['model'][0], runs.model() / 'weights/first'
    lost.unlink()

    assert runs.run() == NONE_CACHED
    (after,) = runs.results['WriteModel'].outputs['model']
    assert after.id != before.id
    assert after.state == metadata_store_pb2.Artifact.LIVE
    assert f'WriteModel runs again: cached output is damaged: {lost} is missing\n' in runs.output
    assert {name: (runs.model() / name).read_bytes() for name in FILES} == FILES
    assert runs.run() == ALL_CACHED


def test_truncated_file_is_reported_with_both_sizes(runs):
    truncated = runs.model() / 'weights' / 'second'
    os.truncate(truncated, 2)

    assert runs.run() == NONE_CACHED
    assert f'{truncated} has 2 bytes instead of 5 bytes' in runs.output


@pytest.fixture
def ingest(tmp_path, make_image_folder):
    """`ingest()` runs ImageExampleGen; returns whether it was cached, and its output folder."""
    images = make_image_folder(tmp_path / 'images', per_class=20)
    data = DataConfig.model_validate({'source': 'folder', 'path': str(images)})

    def run():
        results, _ = run_pipeline(tmp_path, [ImageExampleGen(data)])
        (result,) = results.values()
        return result.cached, Path(result.outputs['examples'][0].uri)

    return run


@pytest.mark.parametrize('lost', ['Split-train/data_tfrecord-00000-of-00001', 'index.npy'])
def test_damaged_records_are_written_again_and_not_linked(ingest, lost):
    def files_in(folder):
        return {str(file.relative_to(folder)) for file in folder.rglob('*') if file.is_file()}

    _, first = ingest()
    (first / lost).unlink()

    cached, second = ingest()

    assert not cached
    assert files_in(second) == {*files_in(first), lost}
    assert ingest() == (True, second)


def test_records_of_another_stack_are_reused(ingest, monkeypatch):
    _, records = ingest()
    monkeypatch.setattr(stack, 'libraries', lambda: 'TFX 1.0.0, TensorFlow 2.0.0')
    assert ingest() == (True, records)


def test_large_listings_compare_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(cached_outputs, '_MAX_LISTING_BYTES', 50)
    runs = Runs(tmp_path)
    runs.run()
    assert runs.run() == ALL_CACHED
    (runs.model() / 'weights' / 'first').unlink()

    assert runs.run() == NONE_CACHED
    assert 'weights has 1 file of 5 bytes instead of 2 files of 9 bytes' in runs.output


def test_finds_damage_of_single_file_artifact(tmp_path):
    value = tmp_path / 'value'
    value.write_text('[]')
    listing = list_files(value)

    assert find_damage(value, listing) is None
    value.write_text('[1]')
    assert find_damage(value, listing) == f'{value} has 3 bytes instead of 2 bytes'
    value.unlink()
    assert find_damage(value, listing) == f'{value} is missing'
