"""The Beam components on a Flink cluster, and lost workers and machines; `make test-flink`."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import beam_runs
import pytest
from flink_cluster import FlinkCluster

from common import features
from pipeline.config.recipe import Recipe, load_recipe
from pipeline.graph import create_pipeline
from pipeline.local.runner import ProgressDagRunner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        'FLINK_LIBRARIES' not in os.environ, reason='`make test-flink` gets the JARs of Flink'
    ),
    # raised inside TensorFlow Model Analysis
    pytest.mark.filterwarnings('ignore:Conversion of an array with ndim > 0:DeprecationWarning'),
    pytest.mark.filterwarnings('ignore:invalid value encountered in divide:RuntimeWarning'),
]
IMAGES = int(os.environ.get('FLINK_TEST_IMAGES', '200'))


@pytest.fixture(scope='module')
def say(request) -> Callable[[str], None]:
    """Prints a line also if pytest captures output."""
    plugins = request.config.pluginmanager
    reporter, capture = map(plugins.get_plugin, ('terminalreporter', 'capturemanager'))

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.write_line(f'\n{line}')

    return write


@pytest.fixture(scope='module')
def images(request, tmp_path_factory, make_image_folder) -> Path:
    """Photographs, if available."""
    folder = tmp_path_factory.mktemp('images')
    if 'CATDOG_DATA' not in os.environ:
        return make_image_folder(folder, per_class=IMAGES // 2, size=(320, 240))
    for name in beam_runs.CLASSES:
        (folder / name).mkdir()
        found = sorted((request.getfixturevalue('photographs') / name).iterdir())
        for file in found[: IMAGES // 2]:
            (folder / name / file.name).symlink_to(file)
    return folder


@pytest.fixture(scope='module')
def recipe(tmp_path_factory, images) -> Recipe:
    workdir = tmp_path_factory.mktemp('runs')
    changes = {**beam_runs.SMALL, 'data.path': str(images), 'workdir': str(workdir)}
    return load_recipe('folder_128_rmsprop', list(changes.items()))


@pytest.fixture(scope='module')
def in_memory(recipe) -> ProgressDagRunner:
    runner = ProgressDagRunner()
    runner.run(create_pipeline(recipe, beam_runs.CLASSES, images=IMAGES))
    return runner


@pytest.fixture(scope='module')
def seconds_in_memory(in_memory) -> dict[str, float]:
    return {name: result.seconds for name, result in in_memory.results.items()}


@pytest.fixture(scope='module')
def expected(in_memory) -> beam_runs.Outputs:
    return beam_runs.outputs(in_memory.results)


@pytest.fixture(scope='module')
def cluster(in_memory, tmp_path_factory) -> Iterator[FlinkCluster]:
    libraries, job_server = (
        Path(os.environ[name]) for name in ('FLINK_LIBRARIES', 'FLINK_JOB_SERVER')
    )
    with FlinkCluster(tmp_path_factory.mktemp('flink'), libraries, job_server) as running:
        yield running


@pytest.fixture(scope='module')
def launch(cluster, recipe, in_memory) -> Callable[[str], dict[str, Path]]:
    """Runs a component on the cluster; returns its outputs."""

    def run(name: str) -> dict[str, Path]:
        return beam_runs.launch(recipe, cluster.options, IMAGES, [name], in_memory.run_id)[name]

    return run


def test_records_are_equal(launch, expected, seconds_in_memory, say):
    start = time.monotonic()
    actual = launch(beam_runs.INGESTION)['examples']

    seconds = time.monotonic() - start
    files = beam_runs.assert_equal_records(actual, expected[beam_runs.INGESTION]['examples'])
    say(
        f'ImageExampleGen on Flink: {files} files of records are byte-identical, {seconds:.0f} s '
        f'({seconds_in_memory[beam_runs.INGESTION]:.0f} s in memory)'
    )


def test_statistics_are_equal(launch, expected, seconds_in_memory, say):
    start = time.monotonic()
    actual = launch('StatisticsGen')['statistics']

    seconds = time.monotonic() - start
    found = [
        beam_runs.assert_equal_statistics(actual, expected['StatisticsGen']['statistics'], split)
        for split in features.SPLITS
    ]
    assert min(found) > 10
    say(
        f'StatisticsGen on Flink: equal for {sum(found)} images, {seconds:.0f} s '
        f'({seconds_in_memory["StatisticsGen"]:.0f} s in memory)'
    )


def test_metrics_are_equal(launch, expected, seconds_in_memory, say):
    start = time.monotonic()
    actual = launch('Evaluator')['evaluation']

    seconds = time.monotonic() - start
    slices = beam_runs.assert_equal_metrics(actual, expected['Evaluator']['evaluation'])
    assert slices >= 3
    say(
        f'Evaluator on Flink: metrics of {slices} slices are equal, {seconds:.0f} s '
        f'({seconds_in_memory["Evaluator"]:.0f} s in memory)'
    )


class WhenImagesAreRead(threading.Thread):
    """Calls a function once, when a worker has begun to write the records of a new ingestion."""

    def __init__(self, recipe: Recipe, action: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.folder, self.action = Path(recipe.workdir), action
        self.called = threading.Event()
        self.start()

    def run(self) -> None:
        while not next(self.folder.glob('**/examined/attempt-*/*'), None):
            time.sleep(0.02)
        self.action()
        self.called.set()


def test_ingestion_survives_a_killed_worker(launch, cluster, recipe, expected, say):
    def kill() -> None:
        for worker in cluster.workers():
            worker.kill()

    before, start = cluster.restarts(), time.monotonic()
    killer = WhenImagesAreRead(recipe, kill)
    actual = launch(beam_runs.INGESTION)['examples']

    assert killer.called.is_set()
    failures = cluster.restarts() - before
    assert failures > 0
    beam_runs.assert_equal_records(actual, expected[beam_runs.INGESTION]['examples'])
    seconds = time.monotonic() - start
    say(f'killed worker: survived, equal records, {seconds:.0f} s; failed tasks: {failures}')


def test_ingestion_survives_a_killed_task_manager(launch, cluster, recipe, expected, say):
    def kill() -> None:
        (used,) = (name for name, free in cluster.free_slots().items() if free == 0)
        cluster.task_managers[used].kill()

    before, start = cluster.restarts(), time.monotonic()
    killer = WhenImagesAreRead(recipe, kill)
    actual = launch(beam_runs.INGESTION)['examples']

    assert killer.called.is_set()
    assert cluster.restarts() > before
    assert any(process.poll() is not None for process in cluster.task_managers.values())
    beam_runs.assert_equal_records(actual, expected[beam_runs.INGESTION]['examples'])
    seconds = time.monotonic() - start
    say(f'killed task manager: survived on the spare slots, equal records, {seconds:.0f} s')
