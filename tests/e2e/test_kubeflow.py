"""Runs of the compiled Kubeflow pipeline; each task's command runs in a subprocess.

The driver and the launcher of Kubeflow are emulated, and then those of a release if they are given.
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from workspace import RECIPE

from components.evaluation.results import LEAST_CLASSES, METRICS
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.compiler import compile_kubeflow
from pipeline.run.record import read_runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # two runs of fourteen processes
MORE = """
  warm_start: live
evaluation:
  minimum: 0.0
  margin: 1
retrain: {webhook_env: HOOK}
"""


class Cluster:
    """A compiled pipeline, the volumes that its pods share, and its runs.

    `create_run(package, folder, **parameters)` creates a run.
    """

    def __init__(self, folder, make_image_folder, create_run):
        self._folder, self._make_image_folder = folder, make_image_folder
        self._create_run = create_run
        self._package = folder / 'pipeline.yaml'
        (folder / 'pets.yaml').write_text(RECIPE + MORE)
        data = {'source': 'folder', 'path': str(folder / 'data'), 'window': 2}
        volumes = [{'claim': each, 'path': str(folder / each)} for each in ('data', 'work')]
        overrides = [('data', data), ('workdir', volumes[1]['path']), ('kubeflow.volumes', volumes)]
        (folder / 'work').mkdir()
        self._package.write_text(compile_kubeflow(load_recipe(folder / 'pets.yaml', overrides)))

    def run(self, *, new_spans=(), trainer=None, **parameters):
        """Runs the pipeline on new spans; `trainer` is a failing attempt of this task."""
        for span in new_spans:
            self._make_image_folder(self._folder / 'data' / f'span-{span}', per_class=60, seed=span)
        run = self._create_run(self._package, self._folder, **parameters)
        if trainer:
            run.first_attempts['trainer'] = trainer
        run.execute()
        return run

    def pushed(self):
        return sorted((self._folder / 'work/pets/serving').glob('[0-9]*'))


@pytest.fixture(scope='module', params=['emulated', 'programs'])
def cluster(request, kubeflow, tmp_path_factory, make_image_folder):
    create_run = kubeflow(request.param)
    return Cluster(tmp_path_factory.mktemp('cluster'), make_image_folder, create_run)


@pytest.fixture(scope='module')
def first(cluster):
    """A run whose Trainer is killed once, like the pod of a lost node, and retried by Kubeflow."""
    return cluster.run(new_spans=(1, 2), trainer=kill_during_training, only_when_new=True)


def kill_during_training(command, **options):
    process = subprocess.Popen(command, **options)
    for line in process.stdout:
        if 'train images' in line:
            break
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()


@pytest.fixture(scope='module')
def second(cluster, first):
    """The next scheduled run, with one more span."""
    return cluster.run(new_spans=[3], only_when_new=True)


def test_all_tasks_succeed(first, second):
    for run in (first, second):
        assert {task: done.output for task, done in run.finished.items() if done.code} == {}
        assert set(run.states().values()) == {'COMPLETE'}


def test_first_run_pushes_a_model_although_a_pod_is_killed(first):
    assert 'images in spans 1 and 2' in first.finished['decision'].output
    assert 'no warm start: no model has been blessed yet' in first.finished['trainer'].output
    assert 'Trainer done in' in first.finished['trainer'].output
    assert first.finished['trainer'].attempts == 2
    assert 'BLESSED and pushed to' in first.finished['pusher'].output


def test_finish_records_and_posts_the_result(cluster, first, second):
    runs = [run for run in read_runs(cluster.pushed()[0].parents[1]) if run.folder]
    assert [(run.result, Path(run.folder)) for run in runs] == [
        ('blessed', version) for version in cluster.pushed()
    ]
    for run in (first, second):
        output = run.finished['finish'].output
        assert 'blessed and pushed' in output
        assert 'the environment variable HOOK with the URL' in output


def test_finished_task_is_not_repeated(first):
    again = first.run_again('examplevalidator')

    assert again.code == 0
    assert 'already succeeded' in again.output


def test_next_run_moves_the_window_and_warm_starts(cluster, second):
    output = second.finished['imageexamplegen'].output
    assert 'span 2: 120 images, linked from an earlier run' in output
    assert 'span 3: 120 images, new' in output
    assert 'warm start from the live model' in second.finished['trainer'].output
    assert ', reference model ' in second.finished['pusher'].output
    assert len(cluster.pushed()) == 2


def test_pusher_task_outputs_metrics(first, second):
    assert set(metrics_of(second)) == {
        'blessed',
        'minimum',
        'reference',
        *(name for name in METRICS if name not in LEAST_CLASSES),
    }
    assert metrics_of(second)['blessed'] == 1.0
    assert 'reference' not in metrics_of(first)


def metrics_of(run):
    metadata, _ = run.read_artifact('pusher', 'verdict')
    return {key: value for key, value in metadata.items() if isinstance(value, float)}


def test_pusher_task_outputs_html_report(cluster, second):
    _, page = second.read_artifact('pusher', 'report')
    assert '<p class="word">Live</p>' in page
    assert str(cluster.pushed()[-1]) in page
    assert '<svg' in page


def test_run_without_new_data_ends_after_the_decision(cluster, second):
    run = cluster.run(only_when_new=True)

    assert list(run.finished) == ['decision', 'finish']
    assert 'nothing new in spans 2 and 3; the live model is' in run.finished['decision'].output
    assert len(cluster.pushed()) == 2


def test_invalid_override_fails_the_decision_task(cluster, second):
    run = cluster.run(overrides=['trainer.sed=1'])

    assert list(run.finished) == ['decision', 'finish']
    assert (run.finished['decision'].code, run.finished['decision'].attempts) == (1, 1)
    lines = run.finished['decision'].output.splitlines()
    (line,) = [each for each in lines if each.startswith('error: ')]
    assert line.startswith('error: recipe: trainer.sed: unknown key; did you mean seed?')
    assert 'failed: recipe: trainer.sed: unknown key' in run.finished['finish'].output
