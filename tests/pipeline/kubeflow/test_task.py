"""Inputs, outputs and errors of a Kubeflow task, without launching a node."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import DEFAULT, Mock

import click.testing
import pytest
from example_record import record

from common.errors import ConfigError, MetadataError, NodeFailed, PushError
from components.evaluation.results import Estimate
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.run_inputs import recipe_of_run
from pipeline.kubeflow.run_outputs import metrics
from pipeline.kubeflow.task import main
from pipeline.metadata_store import open_store
from pipeline.retraining.decision import Decision
from pipeline.run.record import find_run, read_runs, update_run

REPOSITORY = Path(__file__).parents[3]
OUTPUTS = ('train', 'merged_recipe', 'classes', 'images')


@pytest.fixture
def words(tmp_path, make_image_folder):
    """`words(node_id, **parameters)`: arguments of a task on one span."""
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=3)
    (tmp_path / 'out').mkdir()
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
def task(words, monkeypatch):
    """`task(node_id, **parameters)` runs a task; returns exit code, stdout and stderr.

    The decision builds no backbone.
    """
    monkeypatch.setattr('pipeline.execution.recipe_checks.check_network', lambda *_: None)
    monkeypatch.setattr('os.environ', {**os.environ})
    monkeypatch.delenv('KERAS_HOME', raising=False)
    monkeypatch.setattr('tenacity.nap.time', SimpleNamespace(sleep=lambda _: None))

    def run(node_id, **changes):
        done = click.testing.CliRunner().invoke(main, words(node_id, **changes))
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.mark.parametrize(
    ('only_when_new', 'reason'),
    [(False, 'this run was requested'), (True, 'new or changed: 6 images')],
)
def test_decision_writes_its_outputs_and_the_record(task, tmp_path, only_when_new, reason):
    code, output, error = task('decision', only_when_new=only_when_new)

    assert (code, output.splitlines()[-1], error) == (0, reason, '')
    outputs = {path.name: path.read_text() for path in (tmp_path / 'out').iterdir()}
    recipe = json.loads(outputs.pop('merged_recipe'))
    assert outputs == {'train': 'true', 'classes': '["cats", "dogs"]', 'images': '6'}
    assert recipe['data']['path'] == str(tmp_path / 'data')
    (run,) = read_runs(tmp_path / 'work' / 'demo')
    assert (run.engine, run.result, run.decision) == ('kubeflow', 'running', reason)
    assert run.config['data']['path'] == str(tmp_path / 'data')
    assert os.environ['KERAS_HOME'] == str(tmp_path / 'work' / '.keras')  # shared by all pods


def test_module_prints_error_and_exits(words):
    command = [sys.executable, '-m', 'pipeline.kubeflow.task', *words('decision', run_id='{{a}}')]
    pod = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert (pod.returncode, pod.stdout) == (2, '')
    assert re.fullmatch(r'error: the run ID .*\n', pod.stderr)


@pytest.mark.parametrize(
    ('parameters', 'message'),
    [
        (
            {'overrides': ['data.source=drawings', 'data.path=null']},
            'it needs .* none, but was compiled with newest_spans',
        ),
        ({'overrides': ['trainer.warm_start=live']}, 'changes the components'),
        ({'overrides': [1]}, 'expected KEY=VALUE, as in trainer.batch_size=64'),
        ({'recipe': '[]'}, 'recipe: not a JSON object; leave this parameter of the run unchanged'),
        ({'recipe': '{'}, 'recipe: not a JSON object'),
        ({'overrides': ['data.path=/nowhere']}, 'data folder /nowhere does not exist; '),
        ({'overrides': ['trainer.weights=/no.h5']}, 'weights file /no.h5 does not exist'),
        ({'overrides': ['evaluation.floors={class.birds: 0.5}']}, 'unknown class birds'),
        ({'run_id': '{{$.pipeline_job_uuid}}'}, 'is a placeholder; use Kubeflow Pipelines 2.14'),
    ],
)
def test_invalid_parameter_is_one_line(task, parameters, message):
    code, _, error = task('decision', **parameters)

    (line,) = error.splitlines()
    assert code == 2
    assert re.match(f'error: .*{message}', line)


def test_replaced_placeholder_in_parameter_is_one_line(words):
    node, text = words('decision', overrides=['description=TEXT'])

    done = click.testing.CliRunner().invoke(main, [node, text.replace('TEXT', text)])
    assert done.exit_code == 2
    assert re.fullmatch(r'error: the input .* is not JSON .* remove it\n', done.stderr)


def test_nodes_get_the_recipe_with_overrides_and_without_placeholders(task, tmp_path):
    task('decision', overrides=['trainer.seed=7', 'description="{{$}} $(HOME)"'])

    text = (tmp_path / 'out' / 'merged_recipe').read_text()
    assert '{{' not in text
    assert '$' not in text
    recipe = recipe_of_run({'recipe': text})
    assert (recipe.trainer.seed, recipe.description) == (7, '{{$}} $(HOME)')


def test_scheduled_run_keeps_the_classes_of_the_live_model_and_others_need_them(
    task, tmp_path, add_version, make_image_folder
):
    add_version(tmp_path / 'work' / 'demo' / 'serving', ['cats', 'dogs'])
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=1, classes=('birds', 'cats'), seed=2)

    code, _, error = task('decision')
    assert (code, error.count('\n')) == (2, 1)
    assert '3 classes (birds, cats, dogs), but the live model has 2 classes (cats, dogs)' in error

    assert task('decision', only_when_new=True)[0] == 0
    recipe = json.loads((tmp_path / 'out' / 'merged_recipe').read_text())
    assert recipe['data']['classes'] == ['cats', 'dogs']


def test_scheduled_run_without_a_reason_ends_with_the_decision(task, tmp_path, monkeypatch):
    decision = Decision(False, 'nothing new: span 1 was used')
    monkeypatch.setattr('pipeline.retraining.tick.decide', lambda *_: decision)

    code, output, _ = task('decision', only_when_new=True)
    assert (code, output.splitlines()[-1]) == (0, decision.reason)
    assert (tmp_path / 'out' / 'train').read_text() == 'false'
    assert find_run(tmp_path / 'work' / 'demo', 'run-1').result == 'nothing new'


def test_decision_repeats_itself_after_a_temporary_error(task, monkeypatch):
    connect = Mock(side_effect=[MetadataError('no answer'), DEFAULT], wraps=open_store)
    monkeypatch.setattr('pipeline.kubeflow.decision.open_store', connect)
    assert task('decision')[0] == 0
    assert connect.call_count == 2


@pytest.mark.parametrize(('devices', 'warns'), [([], True), (['GPU:0'], False)])
def test_warns_if_tensorflow_finds_no_reserved_gpu(task, words, monkeypatch, devices, warns):
    monkeypatch.setattr('tensorflow.config.list_physical_devices', lambda _: devices)
    monkeypatch.setattr('pipeline.graph.create_pipeline', ZeroDivisionError)  # launches nothing
    node, text = words('Trainer', classes='[]', images='0')

    done = click.testing.CliRunner().invoke(main, [node, text, '--gpus', '2'])
    sentence = 'TensorFlow finds none of the 2 reserved GPUs and uses the CPU; '
    assert (sentence in done.output) == warns


@pytest.mark.parametrize(
    ('error', 'cause', 'code', 'traceback'),
    [
        (ConfigError('no such class'), None, 2, False),
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


def test_tasks_record_that_the_run_goes_on_and_the_errors_of_their_last_attempts(
    task, monkeypatch, tmp_path
):
    errors = [NodeFailed('no space'), None, NodeFailed('no memory')]

    def run_node(*_):
        if error := errors.pop(0):
            raise error

    monkeypatch.setattr('pipeline.kubeflow.task.run_node', run_node)
    task('decision')
    for name in ('Trainer', 'Trainer', 'Evaluator'):
        task(name)
    (run,) = read_runs(tmp_path / 'work' / 'demo')
    assert (run.result, run.reasons) == ('running', ('Evaluator: no memory',))
    assert (run.task, run.seen > run.started) == ('Evaluator', True)


def test_error_after_the_push_is_a_warning_of_the_run(task, monkeypatch, tmp_path):
    task('decision')
    home = tmp_path / 'work' / 'demo'
    update_run(home, 'run-1', lambda _: {'result': 'blessed', 'exit_code': 0})
    monkeypatch.setattr('pipeline.kubeflow.task.run_node', Mock(side_effect=NodeFailed('no space')))
    for _ in range(2):  # attempts
        task('FolderPredictor')

    (run,) = read_runs(home)
    assert (run.result, run.reasons) == ('blessed', ())
    assert run.warnings == ('FolderPredictor: no space',)


def test_retry_of_a_failed_run_forgets_its_end(task, monkeypatch, tmp_path):
    task('decision')
    results = [NodeFailed('GPU lost'), None, NodeFailed('no space')]
    monkeypatch.setattr('pipeline.kubeflow.task.run_node', Mock(side_effect=results))
    home = tmp_path / 'work' / 'demo'
    task('Trainer')
    task('finish')
    assert find_run(home, 'run-1').result == 'failed'

    task('Trainer')
    running = find_run(home, 'run-1')
    assert (running.result, running.ended, running.reasons) == (None, None, ())
    task('Evaluator')
    task('finish')
    ended = find_run(home, 'run-1')
    assert (ended.result, ended.reasons, ended.warnings) == ('failed', ('no space',), ())


def test_metrics_are_numbers_that_exist():
    estimates = {'auc': Estimate(value=0.99, low=0.9, high=1.0), 'ece': Estimate(value=None)}

    assert metrics(record(accuracy=None, metrics=estimates)) == {
        'blessed': 1.0,
        'auc': 0.99,
        'minimum': 0.9,
    }
