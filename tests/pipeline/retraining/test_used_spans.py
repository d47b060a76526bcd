"""Used spans and the live model, from ML Metadata."""

import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.retraining.used_spans import History, read_history

FAILED, RUNNING, CACHED = mlmd.Execution.FAILED, mlmd.Execution.RUNNING, mlmd.Execution.CACHED


@pytest.fixture
def history(recorder):
    return lambda: read_history(recorder.store, 'pets')


def test_recipe_without_runs_has_no_history(recorder):
    assert read_history(recorder.store, 'another') == History()
    assert read_history(None, 'another') == History()


@pytest.mark.parametrize(
    'options',
    [{'evaluated': False}, {'state': FAILED}, {'state': RUNNING}, {'pushed': False}],
    ids=['not evaluated', 'failed', 'killed', 'not pushed'],
)
def test_unfinished_run_has_used_nothing(recorder, history, options):
    recorder.run({1: 'a'}, **options)
    assert history().use_of(1, 'a') is None
    assert history().live is None


def test_candidate_that_was_not_blessed_has_used_its_spans(recorder, history):
    recorder.run({1: 'a', 2: 'b'}, blessed=False)
    assert history().use_of(2, 'b').run_id == 'run-1'
    assert history().live is None


def test_cached_run_counts(recorder, history):
    recorder.run({1: 'a'}, state=CACHED)
    assert history().use_of(1, 'a').pushed


def test_changed_span_is_unused(recorder, history):
    recorder.run({1: 'a'})
    assert history().use_of(1, 'changed') is None
    assert history().use_of(1) is not None


def test_later_push_of_a_model_makes_its_spans_used(recorder, history):
    model = recorder.run({1: 'a'}, pushed=False)
    recorder.run({}, model=model)
    assert history().use_of(1, 'a') is not None


def test_last_pushed_model_is_live(recorder, history):
    recorder.run({1: 'a'})
    recorder.run({1: 'a', 2: 'b'})
    recorder.run({3: 'c'}, blessed=False)
    live = history().live
    assert (live.version, live.destination) == ('1002', '/serving/1002')
    assert (live.run_id, live.spans) == ('run-2', {1: 'a', 2: 'b'})
