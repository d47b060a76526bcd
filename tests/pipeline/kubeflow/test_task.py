"""Options and errors of a Kubeflow task, without launching a node."""

import json
import subprocess
import sys
from pathlib import Path

import click.testing
import pytest

from common.errors import ConfigError, MetadataError, NodeFailed, PushError
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.task import main

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def task(tmp_path, make_image_folder):
    """`task(node_id, **options)` runs a task on one span; returns exit code, stdout and stderr."""
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=3)
    recipe = load_recipe(
        'demo', [('data.source', 'folder'), ('data.window', 2), ('workdir', str(tmp_path / 'work'))]
    )
    defaults = {
        '--recipe': recipe.model_dump_json(exclude_defaults=True),
        '--run-id': 'run-1',
        '--data-path': str(tmp_path / 'data'),
        '--optional-nodes': 'newest_spans',
        **{f'--{name}': str(tmp_path / 'out' / name) for name in ('train', 'classes', 'images')},
    }

    def run(node_id, as_module=False, **changes):
        options = {
            **defaults,
            **{f'--{key.replace("_", "-")}': each for key, each in changes.items()},
        }
        words = [node_id, *(word for pair in options.items() for word in pair)]
        if as_module:
            command = [sys.executable, '-m', 'pipeline.kubeflow.task', *words]
            pod = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
            return pod.returncode, pod.stdout, pod.stderr
        done = click.testing.CliRunner().invoke(main, words)
        return done.exit_code, done.stdout, done.stderr

    return run


def test_decision_writes_classes_and_number_of_images(task, tmp_path):
    code, output, _ = task('decision')

    outputs = {path.name: path.read_text() for path in (tmp_path / 'out').iterdir()}
    assert (code, output) == (0, 'this run was requested\n')
    assert outputs == {'train': 'true', 'classes': '["cats", "dogs"]', 'images': '6'}


def test_decision_prints_reason_as_module(task):
    assert task('decision', as_module=True) == (0, 'this run was requested\n', '')


def test_decision_prints_new_spans(task, tmp_path):
    code, output, _ = task('decision', only_when_new='True')

    assert (code, output) == (0, 'span 1 is new (6 images)\n')
    assert (tmp_path / 'out' / 'train').read_text() == 'true'


@pytest.mark.parametrize('override', ['data.window=1', 'trainer.warm_start=latest_blessed'])
def test_rejects_override_that_changes_components(task, override):
    code, _, error = task('decision', overrides=json.dumps([override]))

    assert code == 2
    assert 'changes the components of the pipeline' in error
    assert 'compiled with newest_spans' in error
    assert 'compile it again' in error


def test_override_may_change_window_length(task):
    assert task('decision', overrides='["data.window=5"]')[0] == 0


@pytest.mark.parametrize('overrides', ['not JSON', '[1]', '{"a": 1}'])
def test_rejects_overrides_that_are_not_a_list_of_strings(task, overrides):
    code, _, error = task('decision', overrides=overrides)

    assert code == 2
    assert error.startswith(f'error: overrides: {overrides} is not a list of strings; use ')


def test_rejects_run_id_placeholder(task):
    code, _, error = task('Trainer', run_id='{{$.pipeline_job_uuid}}')

    assert code == 2
    assert 'is a placeholder; use Kubeflow Pipelines 2.4 or newer' in error


def test_missing_data_folder_is_reported(task, tmp_path):
    code, _, error = task('decision', data_path=str(tmp_path / 'nowhere'))

    assert code == 1
    assert error.startswith(f'error: data folder {tmp_path / "nowhere"} does not exist; ')


@pytest.mark.parametrize(
    ('error', 'cause', 'code', 'traceback'),
    [
        (ConfigError('no such class'), None, 2, False),
        (MetadataError('no answer'), None, 1, False),
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
