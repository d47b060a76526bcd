"""What a container does before it launches a node, and what it says when it cannot."""

import json

import click.testing
import pytest

from common.errors import ConfigError, MetadataError, NodeFailed, PushError
from pipeline.config.recipe import load_recipe
from pipeline.kubeflow.task import main


@pytest.fixture
def task(tmp_path, make_image_folder):
    """`task('decision', ...)`: exit code, output and error of a task on one span of images."""
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=3)
    recipe = load_recipe(
        'demo', [('data.source', 'folder'), ('data.window', 2), ('workdir', str(tmp_path / 'work'))]
    )
    usual = {
        '--recipe': recipe.model_dump_json(exclude_defaults=True),
        '--run-id': 'run-1',
        '--data-path': str(tmp_path / 'data'),
        '--optional-nodes': 'newest_spans',
        **{f'--{name}': str(tmp_path / 'out' / name) for name in ('train', 'classes', 'images')},
    }

    def run(node_id, **changes):
        given = {**usual, **{f'--{key.replace("_", "-")}': each for key, each in changes.items()}}
        words = [word for pair in given.items() for word in pair]
        done = click.testing.CliRunner().invoke(main, [node_id, *words])
        return done.exit_code, done.stdout, done.stderr

    return run


def test_the_first_task_tells_the_others_about_the_data(task, tmp_path):
    code, output, _ = task('decision')

    found = {path.name: path.read_text() for path in (tmp_path / 'out').iterdir()}
    assert (code, output) == (0, 'this run was asked for\n')
    assert found == {'train': 'true', 'classes': '["cats", "dogs"]', 'images': '6'}


def test_asked_for_news_it_says_what_is_new(task, tmp_path):
    code, output, _ = task('decision', only_when_new='True')

    assert (code, output) == (0, 'span 1 is new (6 images)\n')
    assert (tmp_path / 'out' / 'train').read_text() == 'true'


@pytest.mark.parametrize('override', ['data.window=1', 'trainer.warm_start=latest_blessed'])
def test_a_key_that_would_add_or_remove_components_is_refused(task, override):
    code, _, error = task('decision', overrides=json.dumps([override]))

    assert code == 2
    assert 'the pipeline would have other components' in error
    assert 'instead of newest_spans' in error
    assert 'compile it again' in error


def test_the_length_of_a_window_may_change(task):
    assert task('decision', overrides='["data.window=5"]')[0] == 0


@pytest.mark.parametrize('overrides', ['not JSON', '[1]', '{"a": 1}'])
def test_overrides_that_are_no_list_of_texts_are_told(task, overrides):
    code, _, error = task('decision', overrides=overrides)

    assert code == 2
    assert error == (
        f'error: overrides: expected a list as in ["trainer.seed=7"], got {overrides}\n'
    )


def test_a_run_id_that_kubeflow_did_not_fill_in_is_told(task):
    code, _, error = task('Trainer', run_id='{{$.pipeline_job_uuid}}')

    assert code == 2
    assert 'was not filled in; Kubeflow Pipelines 2.4 or newer does that' in error


def test_images_that_cannot_be_used_end_the_task_with_a_sentence(task, tmp_path):
    code, _, error = task('decision', data_path=str(tmp_path / 'nowhere'))

    assert code == 1
    assert error == (
        f'error: data folder {tmp_path / "nowhere"} does not exist; give a folder with one folder '
        'per class\n'
    )


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
