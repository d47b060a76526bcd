"""The last task of a run: the end of its record, and the webhook."""

import pytest
from example_record import PUSHED

from pipeline.config.recipe import Recipe
from pipeline.kubeflow.finish import finish
from pipeline.retraining import webhook
from pipeline.run.record import LAST_TICK, find_run, read_runs, utc_now, write_run
from pipeline.run.recording import new_run

RUN = 'run-1'


@pytest.fixture
def recipe(tmp_path):
    return Recipe(name='pets', workdir=tmp_path, retrain={'webhook_env': 'HOOK'})


@pytest.fixture
def start(recipe):
    """`start(**values)` writes the record of the run, and returns it."""

    def write(**values):
        run = new_run(recipe, utc_now()).with_values(id=RUN, engine='kubeflow', **values)
        write_run(recipe.home, run)
        return run

    return write


@pytest.fixture
def end(recipe, monkeypatch):
    """`end(*overrides)` runs the task; returns the messages to the webhook."""
    posted = []
    monkeypatch.setenv('HOOK', 'http://host')
    monkeypatch.setattr(webhook, '_post', lambda _, message: posted.append(message))

    def call(*overrides):
        finish({'recipe': recipe.model_dump_json(), 'overrides': overrides, 'run_id': RUN})
        return posted

    return call


def test_posts_the_result_of_the_pusher(end, start, recipe):
    start(decision='span 1 is new', **PUSHED)

    (message,) = end()
    assert (message['recipe'], message['result'], message['id']) == ('pets', 'blessed', RUN)
    assert (message['decision'], message['accuracy']) == ('span 1 is new', 0.95)
    assert read_runs(recipe.home)[0].result == 'blessed'


@pytest.mark.parametrize(
    ('values', 'result', 'reason'),
    [
        ({'reasons': ('Trainer: Trainer failed: no space',)}, 'failed', 'Trainer failed: no space'),
        ({'task': 'Trainer'}, 'interrupted', 'it ended during or after Trainer: it was stopped'),
        ({}, 'interrupted', 'it ended during or after decision: it was stopped, or a pod was lost'),
    ],
)
def test_posts_and_records_failed_and_stopped_runs(end, start, recipe, values, result, reason):
    start(**values)

    (message,) = end()
    (run,) = read_runs(recipe.home)
    assert (message['result'], run.result, run.exit_code) == (result, result, 1)
    assert message['reasons'] == list(run.reasons)
    assert run.reasons[0].startswith(reason)


def test_run_that_ended_before_its_decision_is_posted(end, recipe):
    (message,) = end()
    assert (message['result'], message['id']) == ('interrupted', RUN)
    assert find_run(recipe.home, RUN).exit_code == 1
    assert read_runs(recipe.home) == []


def test_invalid_override_is_posted_with_its_reason(end):
    (message,) = end('trainer.sed=1')
    assert message['result'] == 'failed'
    assert 'trainer.sed: unknown key; did you mean seed?' in message['reasons'][0]


def test_run_without_new_images_is_not_posted(end, start, recipe):
    tick = start(kind='tick', result='nothing new')
    (recipe.home / 'runs' / f'{RUN}.json').rename(recipe.home / LAST_TICK)
    assert end() == []
    assert find_run(recipe.home, RUN) == tick
