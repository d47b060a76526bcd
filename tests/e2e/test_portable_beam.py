"""The Beam components through Beam's job service, which stands for a cluster's job server.

The tests start two processes: the job service accepts pipelines over gRPC, and a worker pool runs
their steps. As on a cluster, the pool has no access to the package `pipeline`.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import beam_runs
import pytest

from common import features
from pipeline.config.recipe import Recipe, load_recipe
from pipeline.graph import create_pipeline
from pipeline.local.runner import ProgressDagRunner

pytestmark = [
    pytest.mark.slow,
    # raised inside TensorFlow Model Analysis
    pytest.mark.filterwarnings('ignore:Conversion of an array with ndim > 0:DeprecationWarning'),
    pytest.mark.filterwarnings('ignore:invalid value encountered in divide:RuntimeWarning'),
]
IMAGES = 120
JOB_SERVICE = 'apache_beam.runners.portability.local_job_service_main'


@pytest.fixture(scope='module')
def job_log(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('cluster') / 'log'


@pytest.fixture(scope='module')
def cluster(job_log) -> Iterator[dict[str, str | int]]:
    """A job service and its workers; yields the Beam options to reach them."""
    folder = job_log.parent
    job_port = folder / 'port'
    command = ['-m', JOB_SERVICE, '--port_file', job_port, '--staging_dir', folder / 'staging']
    with job_log.open('w') as log:
        service = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log, cwd=folder)
    try:
        with beam_runs.worker_pool(folder, dict(os.environ)) as (_, worker_port):
            beam_runs.wait_for(job_port.exists, service, job_log)
            yield {
                'job_endpoint': f'localhost:{job_port.read_text()}',
                'environment_type': 'EXTERNAL',
                'environment_config': f'localhost:{worker_port}',
                'job_server_timeout': 300,  # the time limit of a job
            }
    finally:
        service.kill()
        service.wait()


@pytest.fixture(scope='module')
def recipe(tmp_path_factory, make_image_folder) -> Recipe:
    folder = tmp_path_factory.mktemp('pets')
    images = make_image_folder(folder / 'images', per_class=IMAGES // 2)
    changes = {**beam_runs.SMALL, 'data.path': str(images), 'workdir': str(folder / 'runs')}
    return load_recipe('folder_128_rmsprop', list(changes.items()))


@pytest.fixture(scope='module')
def in_memory(cluster, recipe) -> ProgressDagRunner:
    runner = ProgressDagRunner()
    runner.run(create_pipeline(recipe, beam_runs.CLASSES, images=IMAGES))
    return runner


@pytest.fixture(scope='module')
def both(cluster, recipe, in_memory) -> tuple[beam_runs.Outputs, beam_runs.Outputs]:
    """Outputs of the Beam components in memory, and through the job service on the same inputs."""
    found = {}
    for names in (('StatisticsGen', 'Evaluator'), (beam_runs.INGESTION,)):
        found |= beam_runs.launch(recipe, cluster, IMAGES, names, in_memory.run_id)
    return beam_runs.outputs(in_memory.results), found


def test_components_run_through_the_job_service(both, job_log):
    expected, actual = both

    for name in beam_runs.COMPONENTS:
        assert actual[name].keys() == expected[name].keys()
        assert not set(actual[name].values()) & set(expected[name].values())
    finished = re.findall(r'Completed job in .* with state DONE', job_log.read_text())
    assert len(finished) == len(beam_runs.COMPONENTS)


def test_records_are_equal(both):
    expected, actual = (each[beam_runs.INGESTION]['examples'] for each in both)

    assert beam_runs.assert_equal_records(actual, expected) >= 3


@pytest.mark.parametrize('split', features.SPLITS)
def test_statistics_are_equal(both, split):
    expected, actual = (each['StatisticsGen']['statistics'] for each in both)

    assert beam_runs.assert_equal_statistics(actual, expected, split) > 10


def test_metrics_are_equal(both):
    expected, actual = (each['Evaluator']['evaluation'] for each in both)

    # overall, two classes, and the slices of bright and dark squares
    assert beam_runs.assert_equal_metrics(actual, expected) == 9
