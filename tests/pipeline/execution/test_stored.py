"""Nodes whose artifacts are in object storage, each in a pod with an empty disk."""

import shutil
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from common.errors import NodeFailed, StorageError
from pipeline.execution.launch import compile_pipeline, launch_node

Model, Statistics = standard_artifacts.Model, standard_artifacts.ExampleStatistics


@component
def Maker(text: Parameter[str], model: OutputArtifact[Model]) -> None:
    """An executor like those of TFX, which knows no mirrors."""
    assert '://' not in model.uri
    if text == 'fail':
        raise RuntimeError('no text')
    Path(model.uri, 'part').mkdir()
    Path(model.uri, 'part', 'text').write_text(text)


@component
def Reader(model: InputArtifact[Model], statistics: OutputArtifact[Statistics]) -> None:
    Path(statistics.uri, 'size').write_text(str(len(Path(model.uri, 'part', 'text').read_text())))


class Pods:
    """Nodes of a pipeline in a bucket; `run` starts one with an empty disk."""

    def __init__(self, folder, bucket):
        self._cache, self._root = folder / 'cache', f'{bucket.url}/pets'
        file = str(folder / 'metadata.sqlite')
        self._config = metadata_store_pb2.ConnectionConfig(
            sqlite={'filename_uri': file, 'connection_mode': 'READWRITE_OPENCREATE'}
        )

    def run(self, node_id, run='1', text='hello'):
        shutil.rmtree(self._cache, ignore_errors=True)
        maker = Maker(text=text).with_id('Maker')
        nodes = [maker, Reader(model=maker.outputs['model']).with_id('Reader')]
        pipeline = Pipeline('pets', self._root, self._config, nodes, enable_cache=True)
        return launch_node(compile_pipeline(pipeline, run), node_id)

    @property
    def uris(self):
        return {each.uri for each in mlmd.MetadataStore(self._config).get_artifacts()}


@pytest.fixture
def pods(tmp_path, s3_bucket, monkeypatch):
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path / 'cache'))
    return Pods(tmp_path, s3_bucket)


def test_nodes_pass_artifacts_through_the_bucket(pods, s3_bucket):
    pods.run('Maker')
    pods.run('Reader')
    assert s3_bucket.read('pets/Reader/statistics/2/size') == b'5'
    assert pods.uris == {
        f'{s3_bucket.url}/pets/{name}' for name in ('Maker/model/1', 'Reader/statistics/2')
    }


def test_next_run_is_cached_without_a_download(pods, s3_bucket):
    pods.run('Maker')
    s3_bucket.server.requests.clear()
    assert pods.run('Maker', run='2').cached
    assert 'GET' not in {method for method, path in s3_bucket.server.requests if 'model/1' in path}


def test_removed_artifact_is_made_again(pods, s3_bucket):
    pods.run('Maker')
    s3_bucket.remove('pets/Maker/model/1.files.json')
    assert not pods.run('Maker', run='2').cached


def test_node_that_finished_is_not_repeated(pods, s3_bucket):
    pods.run('Maker')
    before = s3_bucket.objects
    pods.run('Maker', text='other')
    assert s3_bucket.objects == before
    assert s3_bucket.read('pets/Maker/model/1/part/text') == b'hello'


def test_failed_node_uploads_nothing_and_succeeds_later(pods, s3_bucket):
    with pytest.raises(NodeFailed, match='Maker failed: no text'):
        pods.run('Maker', text='fail')
    assert s3_bucket.objects == set()
    pods.run('Maker')
    assert pods.run('Reader').seconds >= 0


def test_failed_upload_is_repeated(pods, s3_bucket):
    s3_bucket.server.refuse = lambda method, path: method == 'PUT'
    with pytest.raises(StorageError, match='is denied'):
        pods.run('Maker')
    s3_bucket.server.refuse = lambda method, path: False
    pods.run('Maker')
    pods.run('Reader')
    assert s3_bucket.read('pets/Reader/statistics/2/size') == b'5'
