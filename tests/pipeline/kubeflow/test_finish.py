"""The last task of a run: the end of its record, and the webhook."""

import pytest
from example_record import PUSHED
from ml_metadata.proto.metadata_store_pb2 import Execution

from common.errors import MetadataError
from pipeline.config.recipe import Recipe
from pipeline.kubeflow import finish as module
from pipeline.kubeflow.finish import finish
from pipeline.retraining import webhook
from pipeline.run.record import find_run, read_runs, update_run, utc_now, write_last_tick, write_run
from pipeline.run.recording import new_run

RUN = 'run-1'
FAILED, RUNNING, COMPLETE = Execution.FAILED, Execution.RUNNING, Execution.COMPLETE


@pytest.fixture
def recipe(tmp_path):
    return Recipe(name='pets', workdir=tmp_path, retrain={'webhook_env': 'HOOK'})


@pytest.fixture
def started(recipe):
    """The record of the run after the decision to train."""
    run = new_run(recipe, utc_now()).with_values(id=RUN, engine='kubeflow', decision='span 1')
    write_run(recipe.home, run)
    return run


@pytest.fixture
def end(recipe, recorder, monkeypatch):
    """`end(*overrides)` runs the task; returns the messages to the webhook."""
    posted = []
    monkeypatch.setattr(module, 'open_store', lambda *_: recorder.store)
    monkeypatch.setenv('HOOK', 'http://host')
    monkeypatch.setattr(webhook, '_post', lambda _, message: posted.append(message))

    def call(*overrides):
        finish({'recipe': recipe.model_dump_json(), 'overrides': overrides, 'run_id': RUN})
        return posted

    return call


def test_posts_the_result_of_the_pusher(end, started, recipe):
    update_run(recipe.home, RUN, **PUSHED)

    (message,) = end()
    assert (message['recipe'], message['result'], message['id']) == ('pets', 'blessed', RUN)
    assert (message['decision'], message['accuracy']) == ('span 1', 0.95)
    assert read_runs(recipe.home)[0].result == 'blessed'


@pytest.mark.parametrize(
    ('executions', 'result', 'reason'),
    [
        ([('Transform', COMPLETE), ('Trainer', FAILED)], 'failed', 'Trainer failed; see the log'),
        (
            [('Trainer', FAILED), ('Trainer', RUNNING)],
            'interrupted',
            'it ended during Trainer: it was',
        ),
        (
            [('Transform', COMPLETE), ('Trainer', RUNNING)],
            'interrupted',
            'it ended during Trainer: it',
        ),
        (
            [('Trainer', FAILED), ('Trainer', COMPLETE)],
            'interrupted',
            'it ended after Trainer: it was',
        ),
        ([], 'interrupted', 'it ended early: it was stopped, or a pod was lost or took too long'),
    ],
)
def test_posts_and_records_failed_and_stopped_runs(
    end, started, recipe, recorder, executions, result, reason
):
    run = recorder.context('pipeline_run', RUN)
    nodes = {name: recorder.context('node', f'pets.{name}') for name, _ in dict(executions).items()}
    for name, state in executions:
        recorder.execution(name, {}, {}, [run, nodes[name]], state)

    (message,) = end()
    (run,) = read_runs(recipe.home)
    assert (message['result'], run.result, run.exit_code) == (result, result, 1)
    assert message['reasons'] == list(run.reasons)
    assert run.reasons[0].startswith(reason)


@pytest.mark.parametrize(
    ('states', 'result', 'reason'),
    [
        ([RUNNING], 'failed', 'Trainer failed: no space'),  # before its executor started
        ([FAILED], 'failed', 'Trainer failed: no space'),
        ([], 'failed', 'Trainer failed: no space'),
        ([FAILED, COMPLETE], 'interrupted', 'it ended after Trainer'),
    ],
)
def test_posts_the_error_of_the_last_attempt(
    end, started, recipe, recorder, states, result, reason
):
    update_run(recipe.home, RUN, reasons=('Trainer: Trainer failed: no space',))
    contexts = [recorder.context('pipeline_run', RUN), recorder.context('node', 'pets.Trainer')]
    for state in states:
        recorder.execution('Trainer', {}, {}, contexts, state)

    (message,) = end()
    assert message['result'] == result
    assert message['reasons'][0].startswith(reason)


def test_run_that_ended_before_its_decision_is_posted(end, recipe):
    (message,) = end()
    assert (message['result'], message['id']) == ('interrupted', RUN)
    assert find_run(recipe.home, RUN).reasons[0].startswith('it ended early')
    assert read_runs(recipe.home) == []


def test_invalid_override_is_posted_with_its_reason(end):
    (message,) = end('trainer.sed=1')
    assert message['result'] == 'failed'
    assert 'trainer.sed: unknown key; did you mean seed?' in message['reasons'][0]


def test_run_without_new_images_is_not_posted(end, started, recipe):
    (recipe.home / 'runs' / f'{RUN}.json').unlink()
    write_last_tick(recipe.home, started.with_values(kind='tick', result='nothing new'))
    assert end() == []
    assert find_run(recipe.home, RUN).result == 'nothing new'


def test_posts_without_metadata_server(end, started, monkeypatch):
    def connect(*_):
        raise MetadataError('the metadata in mysql://a cannot be used: no answer')

    monkeypatch.setattr(module, 'open_store', connect)
    (message,) = end()
    assert (message['result'], message['reasons'][0].endswith('no answer')) == ('failed', True)
