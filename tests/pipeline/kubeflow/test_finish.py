"""The last task of a run: its result in the journal, the lease and the webhook."""

import pytest
from example_outcome import outcome
from ml_metadata.proto.metadata_store_pb2 import Execution
from pipeline.registry.lease import hold_lease, lease_holder
from pipeline.registry.run_log import log_run, read_runs
from pipeline.retraining.journal import Journal, Tick

from common.errors import MetadataError
from pipeline.config.recipe import Recipe
from pipeline.kubeflow import finish as module
from pipeline.kubeflow.finish import finish
from pipeline.kubeflow.run_outputs import record_outcome
from pipeline.retraining.cron import utc_now

RUN = 'run-1'
FAILED, RUNNING, COMPLETE = Execution.FAILED, Execution.RUNNING, Execution.COMPLETE


@pytest.fixture
def recipe(tmp_path):
    return Recipe(name='pets', workdir=tmp_path, retrain={'webhook_env': 'HOOK'})


@pytest.fixture
def journal(recipe):
    """The journal after the decision to train."""
    recipe.home.mkdir()
    journal = Journal(recipe.home)
    journal.write(Tick(tick=RUN, run=RUN, started=utc_now(), train=True, decision='span 1 is new'))
    return journal


@pytest.fixture
def end(recipe, recorder, monkeypatch):
    """`end(*overrides)` runs the task; returns the messages to the webhook."""
    posted = []
    monkeypatch.setattr(module, 'open_store', lambda *_: recorder.store)
    monkeypatch.setattr(
        'pipeline.retraining.tick.post_to_webhook', lambda _, message: posted.append(message)
    )

    def call(*overrides):
        finish({'recipe': recipe.model_dump_json(), 'overrides': overrides, 'run_id': RUN})
        return posted

    return call


def test_posts_the_result_of_the_pusher(end, journal, recipe):
    record_outcome(recipe, outcome(run_id=RUN))

    (message,) = end()
    (tick,) = journal.ticks()
    assert (message['recipe'], message['verdict'], message['run']) == ('pets', 'blessed', RUN)
    assert message['decision'] == 'span 1 is new'
    assert message['accuracy'] == tick.accuracy == outcome().accuracy
    assert tick.ended is not None


@pytest.mark.parametrize(
    ('executions', 'verdict', 'reason'),
    [
        ([('Transform', COMPLETE), ('Trainer', FAILED)], 'failed', 'Trainer failed; see the log'),
        ([('Trainer', FAILED), ('Trainer', RUNNING)], 'killed', 'it ended during Trainer: it was'),
        ([('Transform', COMPLETE), ('Trainer', RUNNING)], 'killed', 'it ended during Trainer: it'),
        ([('Trainer', FAILED), ('Trainer', COMPLETE)], 'killed', 'it ended after Trainer: it was'),
        ([], 'killed', 'it ended early: it was stopped, or a pod was lost or took too long'),
    ],
)
def test_posts_and_logs_failed_and_stopped_runs(
    end, journal, recipe, recorder, executions, verdict, reason
):
    run = recorder.context('pipeline_run', RUN)
    nodes = {name: recorder.context('node', f'pets.{name}') for name, _ in dict(executions).items()}
    for name, state in executions:
        recorder.execution(name, {}, {}, [run, nodes[name]], state)

    log_run(recipe.home, RUN, started=utc_now(), config={})
    (message,) = end()
    assert message['verdict'] == verdict
    assert message['reason'].startswith(reason)
    (logged,) = read_runs(recipe.home).runs
    assert logged.result == {'failed': 'failed', 'killed': 'interrupted'}[verdict]
    assert logged.reason == message['reason']
    assert journal.ticks()[0].exit_code == 1


@pytest.mark.parametrize(
    ('states', 'verdict', 'reason'),
    [
        ([RUNNING], 'failed', 'Trainer failed: no space'),  # before its executor started
        ([FAILED], 'failed', 'Trainer failed: no space'),
        ([], 'failed', 'Trainer failed: no space'),
        ([FAILED, COMPLETE], 'killed', 'it ended after Trainer: it was'),
    ],
)
def test_posts_the_error_of_the_last_attempt(end, journal, recorder, states, verdict, reason):
    (tick,) = journal.ticks()
    journal.write(tick.model_copy(update={'reason': 'Trainer: Trainer failed: no space'}))
    contexts = [recorder.context('pipeline_run', RUN), recorder.context('node', 'pets.Trainer')]
    for state in states:
        recorder.execution('Trainer', {}, {}, contexts, state)

    (message,) = end()
    assert message['verdict'] == verdict
    assert message['reason'].startswith(reason)


def test_run_that_ended_before_its_decision_is_posted(end, recipe):
    (message,) = end()
    assert (message['verdict'], message['run']) == ('killed', RUN)
    assert Journal(recipe.home).ticks()[0].tick == RUN


def test_invalid_override_is_posted_with_its_reason(end):
    (message,) = end('trainer.sed=1')
    assert message['verdict'] == 'failed'
    assert 'trainer.sed: unknown key; did you mean seed?' in message['reason']


def test_run_without_new_images_is_not_posted(end, journal):
    (tick,) = journal.ticks()
    journal.write(tick.with_result('nothing new', 'span 1 was used', 0))
    assert end() == []
    assert journal.ticks()[0].verdict == 'nothing new'


def test_releases_the_lease(end, journal, recorder):
    hold_lease(recorder.store, 'pets', RUN)
    end()
    assert lease_holder(recorder.store, 'pets') is None


def test_posts_without_metadata_server(end, journal, monkeypatch):
    def connect(*_):
        raise MetadataError('the metadata in mysql://a cannot be used: no answer')

    monkeypatch.setattr(module, 'open_store', connect)
    (message,) = end()
    assert (message['verdict'], message['reason'].endswith('no answer')) == ('failed', True)
