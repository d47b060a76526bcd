"""Inputs, outputs and errors of a Kubeflow task, without launching a node."""

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import click.testing
import pytest

from common.errors import ConfigError, MetadataError, NodeFailed, PushError
from components.evaluation.results import Estimate
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.run_outputs import metrics
from pipeline.kubeflow.task import main

REPOSITORY = Path(__file__).parents[3]
OUTPUTS = ('train', 'classes', 'images')


@pytest.fixture
def words(tmp_path, make_image_folder):
    """`words(node_id, **parameters)`: arguments of a task on one span."""
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=3)
    data = {'source': 'folder', 'path': str(tmp_path / 'data'), 'window': 2}
    recipe = load_recipe('demo', [('data', data), ('workdir', str(tmp_path / 'work'))])
    parameters = {
        'recipe': recipe.model_dump_json(exclude_defaults=True),
        'run_id': 'run-1',
        'overrides': [],
        'only_when_new': False,
        'optional_nodes': 'newest_spans',
    }
    outputs = {name: {'outputFile': str(tmp_path / 'out' / name)} for name in OUTPUTS}

    def build(node_id, **changes):
        inputs = {'parameterValues': {**parameters, **changes}}
        return [node_id, json.dumps({'inputs': inputs, 'outputs': {'parameters': outputs}})]

    return build


@pytest.fixture
def task(words):
    """`task(node_id, **parameters)` runs a task; returns exit code, stdout and stderr."""

    def run(node_id, **changes):
        done = click.testing.CliRunner().invoke(main, words(node_id, **changes))
        return done.exit_code, done.stdout, done.stderr

    return run


def test_decision_as_module_writes_classes_and_number_of_images(words, tmp_path):
    command = [sys.executable, '-m', 'pipeline.kubeflow.task', *words('decision')]
    pod = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert (pod.returncode, pod.stdout, pod.stderr) == (0, 'this run was requested\n', '')
    outputs = {path.name: path.read_text() for path in (tmp_path / 'out').iterdir()}
    assert outputs == {'train': 'true', 'classes': '["cats", "dogs"]', 'images': '6'}


def test_decision_prints_new_spans(task, tmp_path):
    code, output, _ = task('decision', only_when_new=True, overrides=['data.window=5'])

    assert (code, output) == (0, 'span 1 is new (6 images)\n')
    assert (tmp_path / 'out' / 'train').read_text() == 'true'


@pytest.mark.parametrize(
    ('parameters', 'message'),
    [
        (
            {'overrides': ['data.source=drawings', 'data.path=null']},
            'it needs .* none, but was compiled with newest_spans',
        ),
        ({'overrides': ['trainer.warm_start=latest_blessed']}, 'changes the components'),
        ({'overrides': [1]}, r'overrides: \[1\] is not a list of strings; use '),
        ({'overrides': '{"a": 1}'}, 'overrides: .* is not a list of strings'),
        ({'overrides': ['data.path=/nowhere']}, 'data folder /nowhere does not exist; '),
        ({'run_id': '{{$.pipeline_job_uuid}}'}, 'is a placeholder; use Kubeflow Pipelines 2.4'),
    ],
)
def test_invalid_parameter_is_one_line(task, parameters, message):
    code, _, error = task('decision', **parameters)

    (line,) = error.splitlines()
    assert code == 2
    assert re.match(f'error: .*{message}', line)


@pytest.mark.parametrize(
    ('error', 'cause', 'code', 'traceback'),
    [
        (ConfigError('no such class'), None, 2, False),
        (MetadataError('no answer'), None, 2, False),
        (NodeFailed('Pusher failed: disk full'), PushError('disk full'), 1, False),
        (NodeFailed('Trainer failed: x'), ZeroDivisionError('x'), 1, True),
        (ZeroDivisionError('x'), None, 1, True),
    ],
    ids=repr,
)
def test_only_unexpected_errors_have_a_traceback(
    task, monkeypatch, capfd, error, cause, code, traceback
):
    def fail(*_):
        raise error from cause

    monkeypatch.setattr('pipeline.kubeflow.task.run_node', fail)
    ended, _, message = task('Trainer')

    assert ended == code
    assert message.splitlines()[-1] == f'error: {error}'
    assert ('Traceback' in message + capfd.readouterr().err) == traceback


def test_metrics_are_numbers_that_exist():
    outcome = types.SimpleNamespace(
        blessed=True,
        accuracy=None,
        baseline_accuracy=0.9,
        previous_accuracy=0.85,
        metrics={'auc': Estimate(value=0.99, low=0.9, high=1.0), 'ece': Estimate(value=None)},
    )

    assert metrics(outcome) == {
        'blessed': 1.0,
        'auc': 0.99,
        'baseline_accuracy': 0.9,
        'previous_accuracy': 0.85,
    }
