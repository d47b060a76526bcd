"""What was used and what is live, as ML Metadata tells it."""

from ml_metadata.proto import metadata_store_pb2 as mlmd

from pipeline.retraining.used_spans import History, read_history


def test_a_recipe_that_never_ran_has_no_history(recorder):
    assert read_history(recorder.store, 'another') == History()
    assert read_history(None, 'another') == History()


def test_a_candidate_that_was_not_better_has_used_its_spans(recorder):
    recorder.run({1: 'a', 2: 'b'}, blessed=False)
    history = read_history(recorder.store, 'pets')
    assert history.use_of(2, 'b').run_id == 'run-1'
    assert history.live is None


def test_a_training_that_was_never_evaluated_has_used_nothing(recorder):
    recorder.run({1: 'a'}, evaluated=False)
    assert read_history(recorder.store, 'pets').use_of(1, 'a') is None


def test_a_run_that_failed_or_was_killed_has_used_nothing(recorder):
    for state in (mlmd.Execution.FAILED, mlmd.Execution.RUNNING):
        recorder.run({1: 'a'}, state=state)
    assert read_history(recorder.store, 'pets') == History()


def test_a_run_that_was_cached_counts(recorder):
    recorder.run({1: 'a'}, state=mlmd.Execution.CACHED)
    assert read_history(recorder.store, 'pets').use_of(1, 'a').pushed


def test_a_span_that_changed_was_not_used_as_it_is(recorder):
    recorder.run({1: 'a'})
    history = read_history(recorder.store, 'pets')
    assert history.use_of(1, 'changed') is None
    assert history.use_of(1) is not None


def test_a_run_that_was_cut_off_before_its_push_has_used_nothing(recorder):
    recorder.run({1: 'a'}, pushed=False)
    history = read_history(recorder.store, 'pets')
    assert history.use_of(1, 'a') is None
    assert history.live is None


def test_a_later_run_that_pushes_the_model_after_all_makes_it_used(recorder):
    model = recorder.run({1: 'a'}, pushed=False)
    recorder.run({}, model=model)
    assert read_history(recorder.store, 'pets').use_of(1, 'a') is not None


def test_the_model_that_was_pushed_last_is_live(recorder):
    recorder.run({1: 'a'})
    recorder.run({1: 'a', 2: 'b'})
    recorder.run({3: 'c'}, blessed=False)
    live = read_history(recorder.store, 'pets').live
    assert (live.version, live.destination) == ('1002', '/serving/1002')
    assert (live.run_id, live.spans) == ('run-2', {1: 'a', 2: 'b'})
