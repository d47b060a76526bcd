"""The Beam components on a cluster, and lost workers and machines; `make test-flink` has Flink.

Without Flink, Beam's job service stands for the job server of a cluster: it accepts pipelines over
gRPC. A worker pool runs their steps. As on a cluster, it has no access to the package `pipeline`.
"""

import base64
import contextlib
import dataclasses
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import beam_processes
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
import tensorflow_model_analysis as tfma
from flink_cluster import FlinkCluster
from google.protobuf import json_format
from tfx.dsl.compiler import constants

from common import features
from pipeline.config.recipe import Recipe, load_recipe
from pipeline.execution.launch import compile_pipeline, launch_node
from pipeline.graph import create_pipeline
from pipeline.local.runner import ProgressDagRunner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    # raised inside TensorFlow Model Analysis
    pytest.mark.filterwarnings('ignore:Conversion of an array with ndim > 0:DeprecationWarning'),
    pytest.mark.filterwarnings('ignore:invalid value encountered in divide:RuntimeWarning'),
]
FLINK = pytest.param(
    'flink',
    marks=pytest.mark.skipif(
        'FLINK_LIBRARIES' not in os.environ, reason='`make test-flink` gets the JARs of Flink'
    ),
)
IMAGES = int(os.environ.get('FLINK_TEST_IMAGES', '120'))
CLASSES = ('cats', 'dogs')
SMALL = {
    'data.source': 'folder',
    'trainer.image_size': 32,
    'trainer.alpha': 0.35,
    'trainer.weights': 'random',
    'trainer.batch_size': 16,
    'trainer.feature_extraction.epochs': 1,
    'trainer.fine_tune.epochs': 0,
    'evaluation.minimum': 0.0,
}
JOB_SERVICE = 'apache_beam.runners.portability.local_job_service_main'

_launches = itertools.count()

Outputs = dict[str, Path]  # folders of a component, by key


@dataclasses.dataclass
class JobService:
    """A job service and its workers; `options` are the `beam.options` of a recipe."""

    options: dict[str, Any]
    log: Path


@contextlib.contextmanager
def job_service(folder: Path) -> Iterator[JobService]:
    log, job_port = folder / 'log', folder / 'port'
    command = ['-m', JOB_SERVICE, '--port_file', job_port, '--staging_dir', folder / 'staging']
    with log.open('w') as file:
        service = subprocess.Popen([sys.executable, *command], stdout=file, stderr=file, cwd=folder)
    try:
        with beam_processes.worker_pool(folder, dict(os.environ)) as (_, worker_port):
            beam_processes.wait_for(job_port.exists, service, log)
            options = {
                'job_endpoint': f'localhost:{job_port.read_text()}',
                'environment_type': 'EXTERNAL',
                'environment_config': f'localhost:{worker_port}',
                'job_server_timeout': 300,  # the time limit of a job
            }
            yield JobService(options, log)
    finally:
        service.kill()
        service.wait()


@pytest.fixture(scope='module')
def recipe(request, tmp_path_factory, make_image_folder) -> Recipe:
    """A recipe for photographs if Flink and they are given, else for drawn images."""
    folder = tmp_path_factory.mktemp('pets')
    if 'CATDOG_DATA' in os.environ and 'FLINK_LIBRARIES' in os.environ:
        for name in CLASSES:
            (folder / 'images' / name).mkdir(parents=True)
            found = sorted((request.getfixturevalue('photographs') / name).iterdir())
            for file in found[: IMAGES // 2]:
                (folder / 'images' / name / file.name).symlink_to(file)
    else:
        make_image_folder(folder / 'images', per_class=IMAGES // 2)
    changes = {**SMALL, 'data.path': str(folder / 'images'), 'workdir': str(folder / 'runs')}
    return load_recipe('folder_128_rmsprop', list(changes.items()))


@pytest.fixture(scope='module')
def in_memory(recipe) -> ProgressDagRunner:
    runner = ProgressDagRunner()
    runner.run(create_pipeline(recipe, CLASSES, images=IMAGES))
    return runner


@pytest.fixture(scope='module')
def expected(in_memory) -> Callable[[str], Outputs]:
    """Returns the outputs of a component in memory."""
    return lambda name: folders(in_memory.results[name])


@pytest.fixture(scope='module', params=['job service', FLINK])
def cluster(request, in_memory, tmp_path_factory) -> Iterator[JobService | FlinkCluster]:
    folder = tmp_path_factory.mktemp('cluster')
    if request.param == 'flink':
        jars = (Path(os.environ[name]) for name in ('FLINK_LIBRARIES', 'FLINK_JOB_SERVER'))
        context = FlinkCluster(folder, *jars)
    else:
        context = job_service(folder)
    with context as running:
        yield running


@pytest.fixture(scope='module')
def launch(cluster, recipe, in_memory) -> Callable[[str], Outputs]:
    """Runs a component on the cluster, on the inputs of the run in memory."""

    def run(name: str) -> Outputs:
        values = recipe.model_dump()
        values['beam'] = {'runner': 'portable', 'options': cluster.options}
        if name == 'ImageExampleGen':  # otherwise records of an earlier launch are reused
            values['data']['checks']['max_bad_share'] = 0.5 + next(_launches) / 1000
        pipeline = create_pipeline(Recipe.model_validate(values), CLASSES, images=IMAGES)
        ir = compile_pipeline(pipeline, in_memory.run_id)
        nodes = (each.pipeline_node for each in ir.nodes)
        (node,) = (each for each in nodes if each.node_info.id == name)
        node.execution_options.caching_options.enable_cache = False
        for context in node.contexts.contexts:  # otherwise the node has run in this run already
            if context.type.name == constants.PIPELINE_RUN_CONTEXT_TYPE_NAME:
                context.name.field_value.string_value = f'on a cluster, {uuid.uuid4()}'
        return folders(launch_node(ir, name))

    return run


def folders(result) -> Outputs:
    return {key: Path(artifacts[0].uri) for key, artifacts in result.outputs.items()}


def test_records_are_equal(cluster, launch, expected):
    assert_equal_records(launch('ImageExampleGen'), expected('ImageExampleGen'))
    if isinstance(cluster, JobService):
        assert re.search('Completed job in .* with state DONE', cluster.log.read_text())


def assert_equal_records(actual: Outputs, expected: Outputs) -> None:
    """Compares the bytes of all files of records."""
    actual, expected = actual['examples'], expected['examples']
    files = sorted(each.relative_to(expected) for each in expected.glob('Split-*/*'))
    assert {each.parent.name for each in files} == {f'Split-{each}' for each in features.SPLITS}
    assert files == sorted(each.relative_to(actual) for each in actual.glob('Split-*/*'))
    for file in files:
        assert (actual / file).read_bytes() == (expected / file).read_bytes()
        assert not (actual / file).samefile(expected / file)


def test_statistics_are_equal(launch, expected):
    both = launch('StatisticsGen')['statistics'], expected('StatisticsGen')['statistics']
    assert both[0] != both[1]
    for split in features.SPLITS:
        one, other = (
            tfdv.load_stats_binary(str(each / f'Split-{split}' / 'FeatureStats.pb'))
            for each in both
        )
        assert_equal(json_format.MessageToDict(one), json_format.MessageToDict(other))
        assert other.datasets[0].num_examples > 10


def test_metrics_are_equal(launch, expected):
    actual, wanted = launch('Evaluator')['evaluation'], expected('Evaluator')['evaluation']
    assert actual != wanted
    assert_equal(metrics(actual), metrics(wanted))
    assert len(metrics(wanted)) >= 3


def metrics(folder: Path) -> dict:
    found = tfma.load_eval_result(str(folder)).get_metrics_for_all_slices()
    for values in found.values():
        values['curves'] = json.loads(base64.b64decode(values['curves']['bytesValue']))
    return found


def assert_equal(actual: dict, expected: dict) -> None:
    """Compares floats to 1e-6, because the order of sums differs, and everything else exactly."""
    tf.nest.assert_same_structure(actual, expected)
    leaves = list(zip(tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True))
    assert any(isinstance(wanted, float) for _, wanted in leaves)
    for found, wanted in leaves:
        if isinstance(wanted, float):
            assert found == pytest.approx(wanted, rel=1e-6, nan_ok=True)
        else:
            assert found == wanted


def kill_workers(cluster: FlinkCluster) -> None:
    for worker in cluster.workers():
        worker.kill()


def kill_task_manager(cluster: FlinkCluster) -> None:
    """Kills the one that works; another one has spare slots."""
    (used,) = (name for name, free in cluster.free_slots().items() if free == 0)
    cluster.task_managers[used].kill()


@pytest.mark.parametrize('cluster', [FLINK], indirect=True)
@pytest.mark.parametrize('kill', [kill_workers, kill_task_manager])
def test_ingestion_survives(cluster, launch, recipe, expected, kill):
    killed = threading.Event()

    def kill_when_images_are_read() -> None:
        while not next(Path(recipe.workdir).glob('**/shards/*'), None):
            time.sleep(0.02)
        kill(cluster)
        killed.set()

    before = cluster.restarts()
    threading.Thread(target=kill_when_images_are_read, daemon=True).start()
    actual = launch('ImageExampleGen')

    assert killed.is_set()
    assert cluster.restarts() > before
    assert_equal_records(actual, expected('ImageExampleGen'))
