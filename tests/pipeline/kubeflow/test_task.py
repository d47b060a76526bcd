"""Inputs, outputs, errors and attempts of a Kubeflow task, without launching a node."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import click.testing
import psutil
import pytest
from example_attempts import crash_once, fail, hang, refuse, write_file
from example_record import record

from common.errors import (
    AnomaliesFound,
    ConfigError,
    NodeFailed,
    PushError,
    StorageError,
)
from components.evaluation.results import Estimate
from pipeline.config.recipe import load_recipe
from pipeline.execution.outcome import numbers_of
from pipeline.kubeflow.run_inputs import recipe_of_run
from pipeline.kubeflow.run_record import record_node
from pipeline.kubeflow.task import main, run_attempt
from pipeline.retraining.decision import Decision
from pipeline.run.record import find_run, read_runs, update_run

REPOSITORY = Path(__file__).parents[3]
RUN = 'run-1'
OUTPUTS = ('train', 'merged_recipe', 'classes', 'images')
OPTIONS = ('--retries=2', '--backoff=30', '--timeout=600')
ATTEMPTS = (('train', False), ('train', True), ('evaluate', True))


@pytest.fixture
def executor_input(tmp_path, make_image_folder):
    """`executor_input(**parameters)`: the input of a task on one span."""
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=3)
    (tmp_path / 'out').mkdir()
    data = {'source': 'folder', 'path': str(tmp_path / 'data'), 'window': 2}
    recipe = load_recipe('demo', [('data', data), ('workdir', str(tmp_path / 'work'))])
    parameters = {
        'recipe': recipe.model_dump_json(exclude_defaults=True),
        'run_id': RUN,
        'overrides': [],
        'only_when_new': False,
    }
    files = {name: {'outputFile': str(tmp_path / 'out' / name)} for name in OUTPUTS}
    outputs = {'parameters': files, 'outputFile': str(tmp_path / 'out' / 'executor_output.json')}
    return lambda **changes: {
        'inputs': {'parameterValues': {**parameters, **changes}},
        'outputs': outputs,
    }


@pytest.fixture
def attempt(executor_input, monkeypatch, capsys):
    """`attempt(task, **parameters)` runs a task once; returns exit code, stdout and stderr.

    The first task builds no backbone.
    """
    monkeypatch.setattr('pipeline.execution.recipe_checks.check_network', lambda *_: None)
    monkeypatch.setattr('os.environ', {**os.environ})
    monkeypatch.delenv('KERAS_HOME', raising=False)

    def run(task, *, last=True, gpus=0, **changes):
        capsys.readouterr()
        given = executor_input(**changes)
        code = run_attempt(task, given, last=last, report=None, gpus=gpus)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def pod(executor_input, monkeypatch):
    """`pod(process, *options)` runs the task `train` in a pod, its attempts by `process`.

    Returns exit code and standard error.
    """
    monkeypatch.setattr('os.environ', {**os.environ})

    def run(process, *options, task='train'):
        monkeypatch.setattr('pipeline.kubeflow.task._start', process)
        words = [*OPTIONS, *options, task, json.dumps(executor_input())]
        done = click.testing.CliRunner().invoke(main, words)
        return done.exit_code, done.stderr

    return run


@pytest.mark.parametrize(
    ('only_when_new', 'reason'),
    [(False, 'this run was requested'), (True, 'new or changed: 6 images')],
)
def test_decision_writes_its_outputs_and_the_record(attempt, tmp_path, only_when_new, reason):
    code, output, error = attempt('decide', only_when_new=only_when_new)

    assert (code, output.splitlines()[-1], error) == (0, reason, '')
    outputs = {path.name: path.read_text() for path in (tmp_path / 'out').iterdir()}
    recipe = json.loads(outputs.pop('merged_recipe'))
    assert outputs == {'train': 'true', 'classes': '["cats", "dogs"]', 'images': '6'}
    assert recipe['data']['path'] == str(tmp_path / 'data')
    (run,) = read_runs(tmp_path / 'work' / 'demo')
    assert (run.engine, run.result, run.decision) == ('kubeflow', 'running', reason)
    assert run.config['data']['path'] == str(tmp_path / 'data')
    assert os.environ['KERAS_HOME'] == str(tmp_path / 'work' / '.keras')  # shared by all pods


def test_module_prints_error_and_exits(executor_input):
    text = json.dumps(executor_input(run_id='{{a}}'))
    command = [sys.executable, '-m', 'pipeline.kubeflow.task', *OPTIONS, 'decide', text]
    pod = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)

    assert (pod.returncode, pod.stdout) == (2, '')
    assert re.fullmatch(r'error: the run ID .*\n', pod.stderr)


@pytest.mark.parametrize(
    ('parameters', 'message'),
    [
        ({'overrides': [1]}, 'expected KEY=VALUE, as in trainer.batch_size=64'),
        ({'recipe': '[]'}, 'recipe: not a JSON object; leave this parameter of the run unchanged'),
        ({'recipe': '{'}, 'recipe: not a JSON object'),
        ({'overrides': ['data.path=/nowhere']}, 'data folder /nowhere does not exist; '),
        ({'overrides': ['trainer.weights=/no.h5']}, 'weights file /no.h5 does not exist'),
        ({'overrides': ['evaluation.floors={class.birds: 0.5}']}, 'unknown class birds'),
    ],
)
def test_invalid_parameter_is_one_line(attempt, parameters, message):
    code, _, error = attempt('decide', **parameters)

    (line,) = error.splitlines()
    assert code == 2
    assert re.match(f'error: .*{message}', line)


def test_replaced_placeholder_in_parameter_is_one_line(executor_input):
    text = json.dumps(executor_input(overrides=['description=TEXT']))

    done = click.testing.CliRunner().invoke(main, [*OPTIONS, 'decide', text.replace('TEXT', text)])
    assert done.exit_code == 2
    assert re.fullmatch(r'error: the input .* is not JSON .* remove it\n', done.stderr)


def test_nodes_get_the_recipe_with_overrides_and_without_placeholders(attempt, tmp_path):
    texts = ['trainer.seed=7', 'description="{{$}} $(HOME)"', 'converter={}', 'data.window=1']
    assert attempt('decide', overrides=texts)[0] == 0

    text = (tmp_path / 'out' / 'merged_recipe').read_text()
    assert '{{' not in text
    assert '$' not in text
    recipe = recipe_of_run({'recipe': text})
    assert (recipe.trainer.seed, recipe.description) == (7, '{{$}} $(HOME)')
    assert recipe.converter


def test_scheduled_run_keeps_the_classes_of_the_live_model_and_others_need_them(
    attempt, tmp_path, add_version, make_image_folder
):
    add_version(tmp_path / 'work' / 'demo' / 'serving', ['cats', 'dogs'])
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=1, classes=('birds', 'cats'), seed=2)

    code, _, error = attempt('decide')
    assert (code, error.count('\n')) == (2, 1)
    assert '3 classes (birds, cats, dogs), but the live model has 2 classes (cats, dogs)' in error

    assert attempt('decide', only_when_new=True)[0] == 0
    recipe = json.loads((tmp_path / 'out' / 'merged_recipe').read_text())
    assert recipe['data']['classes'] == ['cats', 'dogs']


def test_scheduled_run_without_a_reason_ends_with_the_decision(attempt, tmp_path, monkeypatch):
    decision = Decision(False, 'nothing new: span 1 was used')
    monkeypatch.setattr('pipeline.retraining.tick.decide', lambda *_: decision)

    code, output, _ = attempt('decide', only_when_new=True)
    assert (code, output.splitlines()[-1]) == (0, decision.reason)
    assert (tmp_path / 'out' / 'train').read_text() == 'false'
    assert find_run(tmp_path / 'work' / 'demo', 'run-1').result == 'nothing new'


@pytest.mark.parametrize('fails', ['open_store', 'write_run'])
def test_temporary_error_of_the_decision_is_repeated(attempt, monkeypatch, fails):
    error = Mock(side_effect=StorageError('the service is unavailable', retryable=True))
    with monkeypatch.context() as patch:
        patch.setattr(f'pipeline.kubeflow.decision.{fails}', error)
        assert attempt('decide')[0] == os.EX_TEMPFAIL
    assert attempt('decide')[0] == 0


@pytest.mark.parametrize(('devices', 'warns'), [([], True), (['GPU:0'], False)])
def test_warns_if_tensorflow_finds_no_reserved_gpu(attempt, monkeypatch, devices, warns):
    monkeypatch.setattr('tensorflow.config.list_physical_devices', lambda _: devices)
    monkeypatch.setattr('pipeline.kubeflow.nodes.create_pipeline', ZeroDivisionError)

    _, output, _ = attempt('train', classes='[]', images='0', gpus=2)
    sentence = 'TensorFlow finds none of the 2 reserved GPUs and uses the CPU; '
    assert (sentence in output) == warns


@pytest.mark.parametrize(
    ('error', 'cause', 'code', 'traceback'),
    [
        (ConfigError('no such class'), None, 2, False),
        (AnomaliesFound('drift'), None, 1, False),
        (NodeFailed('Pusher failed: disk full'), PushError('disk full'), os.EX_TEMPFAIL, False),
        (NodeFailed('Trainer failed: x'), ZeroDivisionError('x'), os.EX_TEMPFAIL, True),
        (NodeFailed('AnomalyGate failed: drift'), AnomaliesFound('drift'), 1, False),
        (ZeroDivisionError('x'), None, os.EX_TEMPFAIL, True),
    ],
    ids=repr,
)
def test_only_unexpected_errors_have_a_traceback_and_only_some_are_repeated(
    attempt, monkeypatch, error, cause, code, traceback
):
    def run_nodes(*_):
        raise error from cause

    monkeypatch.setattr('pipeline.kubeflow.nodes.run_nodes', run_nodes)
    ended, _, message = attempt('train')

    assert ended == code
    assert message.splitlines()[-1] == f'error: {error}'
    assert ('Traceback' in message) == traceback


@pytest.fixture
def nodes(monkeypatch):
    """`nodes(*errors)`: the attempts of tasks record a node, and then raise these errors."""

    def run(*errors):
        left = list(errors)

        def run_nodes(task, _, inputs, *rest):
            record_node(task, inputs, f'node of {task}')
            if error := left.pop(0):
                raise error

        monkeypatch.setattr('pipeline.kubeflow.nodes.run_nodes', run_nodes)

    return run


def test_record_has_the_last_node_and_the_error_of_the_last_attempt(attempt, nodes, tmp_path):
    attempt('decide')
    nodes(NodeFailed('no space'), None, NodeFailed('no memory'))
    codes = [attempt(task, last=last)[0] for task, last in ATTEMPTS]

    (run,) = read_runs(tmp_path / 'work' / 'demo')
    assert codes == [os.EX_TEMPFAIL, 0, os.EX_TEMPFAIL]
    assert (run.result, run.reasons) == ('running', ('evaluate: no memory',))
    assert (run.task, run.seen > run.started) == ('node of evaluate', True)


def test_error_after_the_push_is_a_warning_of_the_run(attempt, nodes, tmp_path):
    attempt('decide')
    home = tmp_path / 'work' / 'demo'
    update_run(home, RUN, lambda _: {'result': 'blessed', 'exit_code': 0})
    nodes(NodeFailed('no space'), NodeFailed('no space'))

    codes = [attempt('push', last=last)[0] for last in (False, True)]
    (run,) = read_runs(home)
    assert codes == [os.EX_TEMPFAIL, 0]
    assert (run.result, run.reasons, run.warnings) == ('blessed', (), ('push: no space',))


def test_retry_of_a_failed_run_forgets_its_end(attempt, nodes, tmp_path):
    attempt('decide')
    nodes(NodeFailed('GPU lost'), None, NodeFailed('no space'))
    home = tmp_path / 'work' / 'demo'
    attempt('train')
    attempt('finish')
    assert find_run(home, RUN).result == 'failed'

    attempt('train')
    running = find_run(home, RUN)
    assert (running.result, running.ended, running.reasons) == (None, None, ())
    attempt('evaluate')
    attempt('finish')
    ended = find_run(home, RUN)
    assert (ended.result, ended.reasons, ended.warnings) == ('failed', ('no space',), ())


@pytest.mark.parametrize(
    ('process', 'options', 'code', 'message'),
    [
        (crash_once, ['--retries=1'], 0, r'train: it ended with -6; .* in 0 s\n'),
        (crash_once, ['--retries=0'], 1, ''),
        (fail, ['--retries=2'], 1, '(train: it ended with 75; the next attempt is in 0 s\n){2}'),
        (refuse, ['--retries=2'], 2, ''),
        (hang, ['--retries=1', '--timeout=1'], 1, 'train: it took longer than 1 s; .*\n'),
    ],
)
def test_task_repeats_itself_after_errors_crashes_and_timeouts(
    pod, process, options, code, message
):
    ended, errors = pod(process, '--backoff=0', *options)

    assert ended == code
    assert re.fullmatch(message, errors)


def test_pauses_double(pod, monkeypatch):
    pauses = []
    monkeypatch.setattr('time.sleep', pauses.append)
    pod(fail, '--retries=3', '--backoff=30')
    assert pauses == [30, 60, 120]


def test_pod_that_the_platform_repeats_after_the_last_attempt_ends_at_once(attempt, pod, tmp_path):
    attempt('decide')
    options = ['--retries=0', '--timeout=1']
    assert pod(hang, *options)[0] == 1
    home = tmp_path / 'work' / 'demo'
    assert find_run(home, RUN).reasons == ('train: it took longer than 1 s',)

    code, error = pod(write_file, *options)
    assert (code, error) == (1, 'error: train: it took longer than 1 s, in an earlier pod\n')
    assert not (tmp_path / 'out' / 'executor_output.json').exists()

    attempt('finish')  # and then a user retries the run
    assert find_run(home, RUN).reasons == ('it took longer than 1 s',)
    assert pod(write_file, *options)[0] == 0


def test_deadline_of_the_first_task_is_the_reason_of_the_failed_run(attempt, pod, tmp_path):
    assert pod(hang, '--retries=0', '--timeout=1', task='decide')[0] == 1
    attempt('finish')
    run = find_run(tmp_path / 'work' / 'demo', RUN)
    assert (run.result, run.reasons) == ('failed', ('it took longer than 1 s',))


@pytest.mark.parametrize('task', ['train', 'finish'])
def test_task_runs_also_if_its_record_cannot_be_read_before(pod, monkeypatch, task):
    def find(*_):
        raise StorageError('the service is unavailable', retryable=True)

    monkeypatch.setattr('pipeline.kubeflow.run_record.find_run', find)
    assert pod(write_file, task=task)[0] == 0


@pytest.mark.parametrize(('umask', 'mode'), [(0, 0o644), (0o077, 0o600)])
def test_files_are_not_world_writable_if_the_pod_starts_with_umask_0(pod, tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        assert pod(write_file)[0] == 0
    finally:
        os.umask(before)
    assert (tmp_path / 'out' / 'executor_output.json').stat().st_mode & 0o777 == mode


def test_stopped_pod_ends_its_attempt(executor_input):
    command = [sys.executable, '-m', 'pipeline.kubeflow.task', *OPTIONS, 'decide']
    with subprocess.Popen([*command, json.dumps(executor_input())], cwd=REPOSITORY) as process:
        pod = psutil.Process(process.pid)
        while not (children := pod.children()):
            time.sleep(0.01)
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_metrics_are_numbers_that_exist():
    estimates = {'auc': Estimate(value=0.99, low=0.9, high=1.0), 'ece': Estimate(value=None)}

    assert numbers_of(record(accuracy=None, metrics=estimates)) == {
        'blessed': 1.0,
        'auc': 0.99,
        'minimum': 0.9,
    }
