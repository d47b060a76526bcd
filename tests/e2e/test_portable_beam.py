"""The Beam components through Beam's job service, which stands for a cluster's job server.

The tests start two processes: the job service accepts pipelines over gRPC, and a worker pool runs
their steps. As on a cluster, the pool has TFX and its libraries but not the code of this project.
"""

import base64
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
import tensorflow_model_analysis as tfma
from google.protobuf import json_format
from tfx.dsl.compiler import constants

from common import features
from pipeline.config.recipe import Recipe, load_recipe
from pipeline.execution.compilation import compile_pipeline
from pipeline.execution.launch import launch_node
from pipeline.graph import create_pipeline
from pipeline.local.runner import ProgressDagRunner

pytestmark = [
    pytest.mark.slow,
    # raised inside TensorFlow Model Analysis
    pytest.mark.filterwarnings('ignore:Conversion of an array with ndim > 0:DeprecationWarning'),
    pytest.mark.filterwarnings('ignore:invalid value encountered in divide:RuntimeWarning'),
]
SMALL = {
    'data.source': 'folder',
    'trainer.image_size': 32,
    'trainer.alpha': 0.35,
    'trainer.weights': 'random',
    'trainer.batch_size': 16,
    'trainer.cache': False,
    'trainer.feature_extraction.epochs': 1,
    'trainer.fine_tune.epochs': 0,
    'evaluation.baseline_accuracy': 0.0,
    'evaluation.min_images': 1,
}
CLASSES = ('cats', 'dogs')
THROUGH_BEAM = ('StatisticsGen', 'Evaluator')
INGESTION = ('ImageExampleGen',)
JOB_SERVICE = 'apache_beam.runners.portability.local_job_service_main'
WORKER_POOL = """
import pathlib, sys, threading
sys.modules.update(dict.fromkeys(['pipeline']))  # makes the import fail
# Beforehand: threads that import TensorFlow Model Analysis at the same time can get half of it.
import tensorflow_model_analysis, tensorflow_data_validation
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer
address, server = BeamFnExternalWorkerPoolServicer.start()
pathlib.Path(sys.argv[1] + '.tmp').write_text(address)
pathlib.Path(sys.argv[1] + '.tmp').rename(sys.argv[1])
threading.Event().wait()
"""


@pytest.fixture(scope='module')
def job_log(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('cluster') / 'log'


@pytest.fixture(scope='module')
def cluster(job_log) -> Iterator[dict[str, str | int]]:
    """A job service and its workers; yields the Beam options to reach them."""
    folder = job_log.parent
    port, address = folder / 'port', folder / 'address'
    commands = [
        ['-m', JOB_SERVICE, '--port_file', port, '--staging_dir', folder / 'staging'],
        ['-c', WORKER_POOL, address],
    ]
    with job_log.open('w') as log:
        processes = [
            subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, cwd=folder)
            for command in commands
        ]
    try:
        while not (port.exists() and address.exists()):
            ended = [each for each in processes if each.poll() is not None]
            assert not ended, job_log.read_text()
            time.sleep(0.1)
        yield {
            'job_endpoint': f'localhost:{port.read_text()}',
            'environment_type': 'EXTERNAL',
            'environment_config': address.read_text(),
            'job_server_timeout': 300,  # the time limit of a job
        }
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture(scope='module')
def recipe(tmp_path_factory, make_image_folder) -> Recipe:
    folder = tmp_path_factory.mktemp('pets')
    images = make_image_folder(folder / 'images', per_class=60)
    changes = {**SMALL, 'data.path': str(images), 'workdir': str(folder / 'runs')}
    return load_recipe('folder_128_rmsprop', list(changes.items()))


@pytest.fixture(scope='module')
def in_memory(cluster, recipe) -> ProgressDagRunner:
    runner = ProgressDagRunner()
    runner.run(create_pipeline(recipe, CLASSES, images=120))
    return runner


@pytest.fixture(scope='module')
def through_job_service(cluster, recipe, in_memory) -> dict[str, dict[str, Path]]:
    """Outputs of the Beam components, run through the job service on the same inputs."""
    values = recipe.model_dump()
    values['beam'] = {'runner': 'portable', 'options': cluster}
    again = Recipe.model_validate(values)
    values['data']['checks']['max_bad_share'] = 0.5  # otherwise existing records are reused
    found = launch(again, THROUGH_BEAM, in_memory.run_id)
    return found | launch(Recipe.model_validate(values), INGESTION, in_memory.run_id)


def launch(recipe: Recipe, names: Sequence[str], run_id: str) -> dict[str, dict[str, Path]]:
    ir = compile_pipeline(create_pipeline(recipe, CLASSES, images=120), run_id)
    nodes = [each.pipeline_node for each in ir.nodes]
    chosen = [each for each in nodes if each.node_info.id in names]
    for node in chosen:
        node.execution_options.caching_options.enable_cache = False
        for context in node.contexts.contexts:  # otherwise the node has run in this run already
            if context.type.name == constants.PIPELINE_RUN_CONTEXT_TYPE_NAME:
                context.name.field_value.string_value = 'through the job service'
    results = {node.node_info.id: launch_node(ir, node) for node in chosen}
    return outputs(results)


def outputs(results) -> dict[str, dict[str, Path]]:
    return {
        name: {key: Path(artifacts[0].uri) for key, artifacts in result.outputs.items()}
        for name, result in results.items()
    }


@pytest.fixture(scope='module')
def both(in_memory, through_job_service) -> tuple[dict, dict]:
    return outputs(in_memory.results), through_job_service


def test_components_run_through_the_job_service(both, job_log):
    expected, actual = both

    for name in (*THROUGH_BEAM, *INGESTION):
        assert actual[name].keys() == expected[name].keys()
        assert not set(actual[name].values()) & set(expected[name].values())
    jobs = len(THROUGH_BEAM) + len(INGESTION)
    assert len(re.findall(r'Completed job in .* with state DONE', job_log.read_text())) == jobs


def test_records_are_equal(both):
    expected, actual = (each['ImageExampleGen']['examples'] for each in both)

    files = sorted(each.relative_to(expected) for each in expected.glob('Split-*/*'))
    assert [each.parent.name for each in files] == ['Split-eval', 'Split-test', 'Split-train']
    for file in files:
        assert (actual / file).read_bytes() == (expected / file).read_bytes()
        assert not (actual / file).samefile(expected / file)


@pytest.mark.parametrize('split', features.SPLITS)
def test_statistics_are_equal(both, split):
    expected, actual = (
        tfdv.load_stats_binary(
            str(each['StatisticsGen']['statistics'] / f'Split-{split}' / 'FeatureStats.pb')
        )
        for each in both
    )

    assert_equal(json_format.MessageToDict(actual), json_format.MessageToDict(expected))
    assert expected.datasets[0].num_examples > 10


def test_metrics_are_equal(both):
    expected, actual = (metrics(each['Evaluator']['evaluation']) for each in both)

    assert len(expected) == 9  # overall, two classes, and the slices of bright and dark squares
    assert_equal(actual, expected)


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


def metrics(folder: Path) -> dict:
    found = tfma.load_eval_result(str(folder)).get_metrics_for_all_slices()
    for values in found.values():
        values['curves'] = json.loads(base64.b64decode(values['curves']['bytesValue']))
    return found
