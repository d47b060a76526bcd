"""The last task of a run: the end of its record, and the webhook."""

import pytest
from example_record import PUSHED

from pipeline.config.recipe import Recipe
from pipeline.kubeflow.run_record import finish
from pipeline.retraining import webhook
from pipeline.run.record import LAST_TICK, find_run, last_tick, read_runs, utc_now, write_run
from pipeline.run.recording import Recording, new_run

RUN = 'run-1'


@pytest.fixture
def recipe(tmp_path):
    return Recipe(name='pets', workdir=tmp_path, retrain={'webhook_env': 'HOOK'})


@pytest.fixture
def end(recipe, monkeypatch):
    """`end(*overrides, **values)` ends a run with these values of its record, if there are any.

    `run_id` is another run, which has a record.

    Returns the messages to the webhook.
    """
    posted = []
    monkeypatch.setenv('HOOK', 'http://host')
    monkeypatch.setattr(webhook, '_post', lambda _, message: posted.append(message))

    def call(*overrides, run_id=RUN, **values):
        if values:
            run = new_run(recipe, utc_now()).with_values(id=RUN, engine='kubeflow', **values)
            write_run(recipe.home, run)
        finish({'recipe': recipe.model_dump_json(), 'overrides': overrides, 'run_id': run_id})
        return posted

    return call


def test_posts_the_result_of_the_pusher(end, recipe):
    (message,) = end(decision='span 1 is new', **PUSHED)

    assert (message['recipe'], message['result'], message['id']) == ('pets', 'blessed', RUN)
    assert (message['decision'], message['accuracy']) == ('span 1 is new', 0.95)
    assert read_runs(recipe.home)[0].result == 'blessed'


@pytest.mark.parametrize(
    ('values', 'result', 'reason'),
    [
        ({'reasons': ('train: Trainer failed: no space',)}, 'failed', 'Trainer failed: no space'),
        ({'task': 'Trainer'}, 'interrupted', 'it ended during or after Trainer: it was stopped'),
        ({'seen': utc_now()}, 'interrupted', 'it ended during or after decide: it was stopped'),
    ],
)
def test_posts_and_records_failed_and_stopped_runs(end, recipe, values, result, reason):
    (message,) = end(**values)

    (run,) = read_runs(recipe.home)
    assert (message['result'], run.result, run.exit_code) == (result, result, 1)
    assert message['reasons'] == list(run.reasons)
    assert run.reasons[0].startswith(reason)


@pytest.mark.parametrize(
    ('overrides', 'result', 'reason'),
    [
        ([], 'interrupted', 'it ended during or after decide'),
        (['trainer.sed=1'], 'failed', 'recipe: trainer.sed: unknown key; did you mean seed?'),
    ],
)
def test_run_that_ended_before_its_decision_is_posted(end, recipe, overrides, result, reason):
    (message,) = end(*overrides)

    assert (message['result'], message['id']) == (result, RUN)
    assert message['reasons'][0].startswith(reason)
    assert [run.result for run in read_runs(recipe.home)] == [result]
    assert last_tick(recipe.home, [], utc_now()) is None


def test_ticks_without_new_images_are_not_posted_and_only_the_last_one_stays(end, recipe):
    for name in ('tick-1', 'tick-2'):  # the first tasks of two runs at once
        tick = new_run(recipe, utc_now()).with_values(id=name, kind='tick', engine='kubeflow')
        Recording(recipe.home, tick).end('nothing new')

    assert end(run_id='tick-1') == end(run_id='tick-2') == []
    assert read_runs(recipe.home) == []
    assert find_run(recipe.home, 'tick-2') == last_tick(recipe.home, [], utc_now())


def test_run_on_kubeflow_is_no_tick(recipe):
    run = new_run(recipe, utc_now()).with_values(id=RUN, engine='kubeflow')
    Recording(recipe.home, run).end('failed')
    (recipe.home / LAST_TICK).write_text(run.as_json())  # of an older release

    assert last_tick(recipe.home, read_runs(recipe.home), utc_now()) is None
