"""A run that is interrupted while the Trainer works, and the next one."""

import json
import signal
import subprocess
import sys
import time

import pytest
from workspace import RUNNER, Workspace

from pipeline.run.record import read_runs

pytestmark = pytest.mark.slow
BEFORE_TRAINER = {  # without those that are never cached
    'ImageExampleGen',
    'ImportSchemaGen',
    'StatisticsGen',
    'ExampleValidator',
    'AnomalyGate',
    'Transform',
}


@pytest.fixture(scope='module')
def workspace(tmp_path_factory, make_image_folder):
    folder = tmp_path_factory.mktemp('interrupted')
    recipe = 'evaluation: {minimum: 0.6}'
    return Workspace(folder, make_image_folder(folder / 'pets', per_class=80), recipe)


@pytest.fixture(scope='module')
def interrupted(workspace):
    """Exit code and stderr of a run that is interrupted while the Trainer works."""
    process = workspace.start('run')
    while not any('fine-tuning 1/' in each.read_text() for each in workspace.runs.glob('logs/*')):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    return process.returncode, error


def test_interrupted_run_prints_one_line(interrupted):
    code, error = interrupted
    assert code == 130
    assert error == 'error: interrupted; run the same command again to continue\n'


def test_next_run_reuses_finished_components(workspace, interrupted):
    done = workspace.call('run')

    assert done.returncode == 0, done.stdout + done.stderr
    assert set(read_runs(workspace.runs)[-1].cached) == BEFORE_TRAINER
    options = ['--config', workspace.recipe, '--workdir', workspace.runs.parent]
    command = [sys.executable, RUNNER, 'runs', '--json', *options]
    runs = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert [each['result'] for each in runs] == ['blessed', 'interrupted']
