"""A run that is interrupted while the Trainer works, and the next one."""

import json
import re
import signal
import subprocess
import sys

import pytest
from workspace import RUNNER, Workspace

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
    recipe = 'evaluation: {baseline_accuracy: 0.6, min_images: 10}'
    return Workspace(folder, make_image_folder(folder / 'pets', per_class=80), recipe)


@pytest.fixture(scope='module')
def interrupted(workspace):
    """Exit code and stderr of a run that is interrupted while the Trainer works."""
    process = workspace.start('run')
    for line in process.stdout:
        if 'fine-tuning 1/' in line:
            process.send_signal(signal.SIGINT)
            break
    _, error = process.communicate()
    return process.returncode, error


def test_interrupted_run_prints_one_line(interrupted):
    code, error = interrupted
    assert code == 130
    assert error == 'error: interrupted; run the same command again to continue\n'


def test_next_run_reuses_finished_components(workspace, interrupted):
    done = workspace.call('run')

    assert done.returncode == 0, done.stdout + done.stderr
    cached = re.findall(r'^(\w+) cached$', done.stdout, re.MULTILINE)
    assert len(cached) == len(BEFORE_TRAINER)
    assert set(cached) == BEFORE_TRAINER
    options = ['--config', workspace.recipe, '--workdir', workspace.runs.parent]
    command = [sys.executable, RUNNER, 'runs', '--json', *options]
    runs = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert [each['result'] for each in runs] == ['blessed', 'interrupted']
