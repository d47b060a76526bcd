"""Runs and single nodes with a metadata server."""

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import ml_metadata
import pytest
from metadata_service import PASSWORD

from pipeline.config.metadata_config import MetadataConfig
from pipeline.config.recipe import load_recipe
from pipeline.execution.compilation import compile_pipeline
from pipeline.execution.launch import NodeResult, launch_node, node_of
from pipeline.graph import create_pipeline
from pipeline.metadata_store import connection_config, open_store

REPOSITORY = Path(__file__).parents[3]
RECIPE = """
trainer:
  image_size: 32
  alpha: 0.35
  weights: random
  batch_size: 16
  feature_extraction: {epochs: 0}
  fine_tune: {from_layer: 0, batch_norm: train, epochs: 20, learning_rate: 0.01, schedule: cosine}
evaluation:
  baseline_accuracy: 0
"""


@pytest.fixture(scope='module')
def workdir(tmp_path_factory) -> Path:
    """A workdir with the recipes `squares` and `circles`, which differ only in name."""
    folder = tmp_path_factory.mktemp('servers')
    for name in ('squares', 'circles'):
        (folder / f'{name}.yaml').write_text(RECIPE)
    return folder


@pytest.fixture(scope='module')
def address(mariadb) -> str:
    return mariadb.address('catdog_runs')


@pytest.fixture(scope='module')
def run(workdir, address, make_image_folder):
    """`run()` runs `squares` from the command line; returns its stdout."""
    images = make_image_folder(workdir / 'pets', per_class=100)
    command = [
        sys.executable,
        REPOSITORY / 'pipeline_runner.py',
        'run',
        '--config',
        workdir / 'squares.yaml',
        '--data',
        images,
        '--workdir',
        workdir / 'runs',
        '--set',
        f'metadata.address={address}',
    ]
    environment = {**os.environ, 'CATDOG_METADATA_PASSWORD': PASSWORD}

    def call() -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, env=environment, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


@pytest.fixture(scope='module')
def first(run) -> str:
    return run()


@pytest.fixture(autouse=True)
def password(monkeypatch):
    monkeypatch.setenv('CATDOG_METADATA_PASSWORD', PASSWORD)


def test_run_on_mysql_pushes_model(first, workdir):
    assert re.search(r'^BLESSED and pushed to ', first, re.MULTILINE)
    assert len(list(workdir.glob('runs/squares/serving/*/saved_model.pb'))) == 1


def test_mysql_run_writes_no_sqlite_file(first, workdir, address):
    store = ml_metadata.MetadataStore(connection_config(MetadataConfig(address=address), workdir))

    assert [each.name for each in store.get_contexts_by_type('pipeline')] == ['squares']
    assert len(store.get_artifacts_by_type('PushedModel')) == 1
    assert not list(workdir.rglob('*.sqlite'))


def test_password_is_not_written_to_any_file(first, workdir):
    files = [path for path in workdir.rglob('*') if path.is_file()]

    assert files
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


def test_identical_run_on_mysql_is_cached(first, run):
    out = run()

    assert set(re.findall(r'^(\w+) done\b', out, re.MULTILINE)) == {
        'PreviousStatistics',
        'BaselineResolver',
        'Pusher',
    }
    assert 'BLESSED, unchanged; live in' in out


def launch(workdir: Path, recipe: str, address: str, node_id: str) -> NodeResult:
    """Launches one node in a new run; warm start adds a resolver without inputs."""
    overrides = [
        ('workdir', str(workdir / 'runs')),
        ('metadata.address', address),
        ('trainer.warm_start', 'latest_blessed'),
    ]
    recipe = load_recipe(str(workdir / f'{recipe}.yaml'), overrides)
    pipeline = create_pipeline(recipe, ('cats', 'dogs'), images=100)
    ir = compile_pipeline(pipeline, run_id=uuid.uuid4().hex)
    return launch_node(ir, node_of(ir, node_id))


def test_recipes_in_one_database_have_separate_models(first, workdir, address):
    same = launch(workdir, 'squares', address, 'warm_start_resolver')
    other = launch(workdir, 'circles', address, 'warm_start_resolver')

    (model,) = same.outputs['model']
    assert '/squares/artifacts/Trainer/model/' in model.uri
    assert not other.outputs.get('model')


def test_launches_nodes_over_grpc(workdir, grpc_address):
    open_store(MetadataConfig(address=grpc_address), workdir)

    first = launch(workdir, 'circles', grpc_address, 'ImportSchemaGen')
    again = launch(workdir, 'circles', grpc_address, 'ImportSchemaGen')
    resolved = launch(workdir, 'circles', grpc_address, 'warm_start_resolver')

    assert not first.cached
    assert again.cached
    assert again.outputs['schema'][0].uri == first.outputs['schema'][0].uri
    assert not resolved.outputs.get('model')
