"""Runs of the compiled Kubeflow pipeline; each task's command runs in a subprocess.

The driver and the launcher of Kubeflow are emulated, and then those of a release if they are given.
All is on volumes, and then in a bucket, where each pod has an empty disk.
"""

import contextlib
import itertools
import os
import signal
import stat
import time

import bucket_servers
import click.testing
import metadata_service
import psutil
import pytest
from ml_metadata.proto import metadata_store_pb2
from workspace import QUICK_RECIPE

from common.mirror import is_remote, local_path, uri_of
from components.evaluation.results import LEAST_CLASSES, METRICS
from components.pusher.serving_folder import read_note, versions_in
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.compiler import compile_kubeflow
from pipeline.metadata_store import open_store
from pipeline.run.record import read_runs
from pipeline_runner import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # of which the first includes a run
TASKS = ['decide', 'ingest', 'check-data', 'train', 'evaluate', 'push', 'finish']
# What Kubeflow's launcher, Argo and Kubernetes replace, if it is not escaped
TEXT = "{{$}} {{{$.inputs.parameters['run_id']}}} {{workflow.name}} $(TZ) $ \\{{ \\$ {{{{"
MORE = """
  warm_start: live
evaluation:
  minimum: 0.0
  margin: 1
retrain: {webhook_env: HOOK}
"""


class Cluster:
    """A compiled pipeline, the volumes or the bucket that its pods share, and its runs.

    `create_run(package, folder, **parameters)` creates a run.
    """

    def __init__(self, folder, make_image_folder, create_run, stack, bucket=None):
        self._folder, self._make_image_folder = folder, make_image_folder
        self._create_run = create_run
        self.recipe_file = folder / 'pets.yaml'
        self.recipe_file.write_text(QUICK_RECIPE + MORE)
        volumes = [{'claim': each, 'path': str(folder / each)} for each in ('data', 'work')]
        self.overrides = {
            'description': TEXT,
            'data': {'source': 'folder', 'path': str(folder / 'data'), 'window': 2},
            'workdir': str(folder / 'work'),
            'kubeflow.volumes': volumes,
        }
        if bucket:
            config = metadata_store_pb2.ConnectionConfig(fake_database={})
            port = stack.enter_context(metadata_service.serve(config))
            keys = bucket.server.variables
            self.overrides |= {
                'workdir': f'{bucket.url}/runs',
                'metadata.address': f'grpc://127.0.0.1:{port}',
                'kubeflow.storage': 'object',
                'kubeflow.volumes': volumes[:1],
                'kubeflow.secrets': [{'secret': 's', 'key': key, 'env': key} for key in keys],
            }
        self.bucket, self.recipe = bucket, self._load()
        self.home = self.recipe.home

    def _load(self, *overrides):
        return load_recipe(str(self.recipe_file), [*self.overrides.items(), *overrides])

    def run(self, *, new_spans=(), disturbances=(), tasks=(), **parameters):
        """Runs the pipeline on new spans, with other settings of `tasks`."""
        for span in new_spans:
            self._make_image_folder(self._folder / 'data' / f'span-{span}', per_class=60, seed=span)
        settings = {'default': {'backoff_seconds': 1}, **dict(tasks)}
        package = self._folder / 'pipeline.yaml'
        package.write_text(compile_kubeflow(self._load(('kubeflow.tasks', settings))))
        run = self._create_run(package, self._folder, **parameters)
        run.disturbances = dict(disturbances)
        run.execute()
        return run

    def pushed(self):
        return versions_in(self.recipe.serving_directory)


@pytest.fixture(
    scope='module',
    params=itertools.product(['emulated', 'programs'], ['volume', 'object']),
    ids='-'.join,
)
def make_cluster(request, kubeflow, tmp_path_factory, make_image_folder):
    """`make_cluster(folder)` makes a cluster in an empty folder."""
    engine, storage = request.param
    create_run = kubeflow(engine)
    with contextlib.ExitStack() as stack:
        server = None
        if storage == 'object':
            server = request.getfixturevalue('running_s3_server')
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            bucket_servers.set_variables(patch, server.variables)
            patch.setenv('CATDOG_CACHE', str(tmp_path_factory.mktemp('cache')))

        def make(folder):
            bucket = bucket_servers.Bucket('s3', server) if server else None
            return Cluster(folder, make_image_folder, create_run, stack, bucket)

        yield make


@pytest.fixture(scope='module')
def cluster(make_cluster, tmp_path_factory):
    return make_cluster(tmp_path_factory.mktemp('cluster'))


@pytest.fixture
def other_cluster(make_cluster, tmp_path, make_image_folder):
    """A cluster with one span, where no run has ended."""
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=60, seed=1)
    return make_cluster(tmp_path)


@pytest.fixture(scope='module')
def first(cluster):
    """A run that loses its first pod while it trains, as with a cluster node."""
    return cluster.run(new_spans=(1, 2), disturbances={'train': lose_pod}, only_when_new=True)


@pytest.fixture(scope='module')
def second(cluster, first):
    """The next scheduled run, with one more span; its first training crashes."""
    return cluster.run(new_spans=[3], disturbances={'train': crash}, only_when_new=True)


def lose_pod(process):
    wait_for_training(process)
    return True


def crash(process):
    """Kills the attempt of the task, as the kernel does if it has used too much memory."""
    wait_for_training(process)
    tree = [process.pid, *(each.pid for each in psutil.Process(process.pid).children(True))]
    (leader,) = [pid for pid in tree[1:] if os.getsid(pid) == pid]
    os.killpg(leader, signal.SIGKILL)
    return False


def wait_for_training(process):
    for line in process.stdout:
        if 'train images' in line:
            return


def test_all_tasks_succeed(first, second):
    for run in (first, second):
        assert {task: done.output for task, done in run.finished.items() if done.code} == {}
        assert list(run.finished) == TASKS


def test_first_run_pushes_a_model_although_a_pod_is_lost(first):
    assert 'images in spans 1 and 2' in first.finished['decide'].output
    assert 'no warm start: no model is live' in first.finished['train'].output
    assert 'Trainer done in' in first.finished['train'].output
    assert first.finished['train'].pods == 2
    assert 'already succeeded' in first.finished['train'].output
    assert 'BLESSED and pushed to' in first.finished['push'].output


def test_task_repeats_only_the_node_that_crashed(second):
    train = second.finished['train']
    assert train.pods == 1
    assert 'train: it ended with -9; the next attempt is in 1 s' in train.output
    before, _, after = train.output.partition('the next attempt')
    assert 'already succeeded' not in before
    assert 'already succeeded' in after


def test_finish_records_and_posts_the_result(cluster, first, second):
    runs = [run for run in read_runs(cluster.home) if run.folder and run.kind != 'rollback']
    assert [(run.result, local_path(run.folder)) for run in runs] == [
        ('blessed', version) for version in cluster.pushed()[:2]
    ]
    assert {run.config['description'] for run in runs} == {TEXT}
    for run in (first, second):
        output = run.finished['finish'].output
        assert 'blessed and pushed' in output
        assert 'the environment variable HOOK with the URL' in output


def test_next_run_moves_the_window_and_warm_starts(cluster, second):
    output = second.finished['ingest'].output
    assert 'span 2: 120 images, linked from an earlier run' in output
    assert 'span 3: 120 images, new' in output
    assert 'warm start from the live model' in second.finished['train'].output
    assert ', reference model ' in second.finished['push'].output
    assert read_note(cluster.pushed()[1]).about.spans == (2, 3)


def test_push_outputs_metrics(first, second):
    assert set(metrics_of(second)) == {
        'blessed',
        'minimum',
        'reference',
        *(name for name in METRICS if name not in LEAST_CLASSES),
    }
    assert metrics_of(second)['blessed'] == 1.0
    assert 'reference' not in metrics_of(first)


def metrics_of(run):
    metadata, _ = run.read_artifact('push', 'metrics')
    return {key: value for key, value in metadata.items() if isinstance(value, float)}


def test_push_outputs_html_report(cluster, second):
    _, page = second.read_artifact('push', 'report')
    assert '<p class="word">Live</p>' in page
    assert uri_of(cluster.pushed()[1]) in page
    assert '<svg' in page


def test_no_file_is_world_writable_although_pods_start_with_umask_0(cluster, second):
    if cluster.bucket:
        pytest.skip('the files are in a bucket')
    paths = [path for path in cluster.home.rglob('*') if not path.is_symlink()]
    assert len(paths) > 100
    assert [path for path in paths if path.stat().st_mode & stat.S_IWOTH] == []


def test_bucket_has_all_that_metadata_and_records_name(cluster, second):
    if not cluster.bucket:
        pytest.skip('the files are on a volume')
    store = open_store(cluster.recipe.metadata, cluster.home)
    artifacts, executions = store.get_artifacts(), store.get_executions()
    assert all(is_remote(each.uri) and '://' in each.uri for each in artifacts)
    inner = [str(each.custom_properties) for each in (*artifacts, *executions)]
    # The schema is written by each process, at the same place in all pods.
    assert not any('/s3/' in each and '/schema/' not in each for each in inner)
    names = {f'runs/pets/reports/{each.id}.html' for each in read_runs(cluster.home) if each.folder}
    assert names <= cluster.bucket.objects


def test_rollback_on_another_machine_makes_the_first_version_live(cluster, second):
    before = cluster.pushed()[0]
    chosen = ['workdir', 'metadata.address'] if cluster.bucket else ['workdir']
    options = [f'--set={key}={cluster.overrides[key]}' for key in chosen]
    words = ['models', 'rollback', f'--config={cluster.recipe_file}', before.name, '--reason=cats']
    done = click.testing.CliRunner(env={'LOGNAME': 'ada'}).invoke(main, [*words, *options])

    live = cluster.pushed()[-1]
    assert (done.exit_code, done.stdout) == (0, f'live: {uri_of(live)}\n'), done.output
    assert read_note(live).about.version == int(before.name)
    if cluster.bucket:
        assert live.name in cluster.bucket.read('runs/pets/serving/serving.config').decode()


def test_run_without_new_data_ends_after_the_first_task(cluster, second):
    before = cluster.pushed()
    run = cluster.run(only_when_new=True)

    assert list(run.finished) == ['decide', 'finish']
    assert 'nothing new in spans 2 and 3; the live model is' in run.finished['decide'].output
    assert cluster.pushed() == before


def test_invalid_override_fails_the_first_task(other_cluster):
    run = other_cluster.run(overrides=['trainer.sed=1'])

    assert list(run.finished) == ['decide', 'finish']
    decide = run.finished['decide']
    assert (decide.code, decide.pods) == (1, 1)
    (line,) = [each for each in decide.output.splitlines() if each.startswith('error: ')]
    assert line.startswith('error: recipe: trainer.sed: unknown key; did you mean seed?')
    assert 'failed: recipe: trainer.sed: unknown key' in run.finished['finish'].output


def test_task_that_exceeds_its_deadline_twice_fails_the_run(other_cluster):
    run = other_cluster.run(
        tasks={'ingest': {'retries': 1, 'backoff_seconds': 1, 'timeout_seconds': 1}}
    )

    assert list(run.finished) == ['decide', 'ingest', 'finish']
    assert run.finished['ingest'].output.count('it took longer than 1 s') == 1
    (last,) = read_runs(other_cluster.home)
    assert (last.result, last.reasons) == ('failed', ('it took longer than 1 s',))


def test_run_that_a_user_stops_is_interrupted(other_cluster):
    def stop(process):
        while read_runs(other_cluster.home)[0].task is None:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)  # as Argo does
        return False

    run = other_cluster.run(disturbances={'ingest': stop})

    assert list(run.finished) == ['decide', 'ingest', 'finish']
    assert run.finished['ingest'].code
    (last,) = read_runs(other_cluster.home)
    assert (last.result, last.task) == ('interrupted', 'ImageExampleGen')
    assert last.config['description'] == TEXT
