"""When there is a reason to train, and how it reads."""

import datetime
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from components.image_example_gen.sources.spans import open_window
from pipeline.config.recipe import Recipe
from pipeline.formatting import named, time_of
from pipeline.retraining.decision import decide

NOW = datetime.datetime.now(datetime.timezone.utc)
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def data(tmp_path, make_image_folder):
    """`data(1, 2)` makes spans of eight images; `per_class` and `size` say otherwise."""
    folder = tmp_path / 'data'
    folder.mkdir()

    def make(*numbers, per_class=4, **options):
        for number in numbers:
            make_image_folder(folder / f'span-{number}', per_class, seed=number, **options)
        return folder

    make.folder = folder
    return make


def darken(span: Path) -> None:
    for file in span.rglob('*.jpg'):
        picture = np.asarray(PIL.Image.open(file))
        PIL.Image.fromarray((picture * 0.2).astype(np.uint8)).save(file)


@pytest.fixture
def look(data, recorder, tmp_path):
    """`look(window=2, min_new_images=5)` decides with these settings, `days` from now."""

    def call(window=3, days=0.0, kept=None, gone=False, **retrain):
        recipe = recipe_with(window, **retrain)
        if not gone:
            (recipe.serving_directory / '1001').mkdir(parents=True, exist_ok=True)
        now = NOW + datetime.timedelta(days=days)
        return decide(recipe, recorder.store, now, kept)

    def recipe_with(window=3, **retrain):
        return Recipe(
            name='pets',
            workdir=tmp_path,
            retrain=retrain,
            data={'source': 'folder', 'path': data.folder, 'window': window},
        )

    def spans(window=3):
        """What is in the window, as a run would note it."""
        found = open_window(recipe_with(window).data)
        return {span.number: span.source.fingerprint for span in found}

    call.spans = spans
    return call


def test_the_first_spans_are_new(look, data):
    data(1, 2)
    decision = look()
    assert decision.train
    assert decision.reason == 'spans 1 and 2 are new (16 images)'
    assert decision.spans == decision.new == (1, 2)


def test_a_live_model_that_is_gone_is_a_reason(look, data, recorder, tmp_path):
    data(1, 2)
    recorder.run(look.spans())
    decision = look(gone=True)
    assert decision.train
    assert decision.reason.startswith(f'version 1001 is gone from {tmp_path}/pets/serving; nothing')


def test_spans_that_a_run_has_used_are_nothing_new(look, data, recorder):
    data(1, 2)
    recorder.run(look.spans())
    decision = look(days=2.1)
    assert not decision.train
    assert re.fullmatch(
        r'nothing new: spans 1 and 2 were used by the run of 20\d\d-\d\d-\d\d \d\d:\d\d; '
        r'the live model is 2\.1 days old',
        decision.reason,
    )


def test_spans_of_a_candidate_that_was_not_good_enough_are_nothing_new(look, data, recorder):
    data(1)
    recorder.run(look.spans(), blessed=False)
    decision = look()
    assert not decision.train
    assert decision.reason.endswith('no model is live: none was good enough')


def test_only_spans_in_the_window_count(look, data, recorder):
    data(1, 2)
    recorder.run(look.spans())
    data(3, 4)
    assert look(window=3).new == (3, 4)
    assert look(window=3).spans == (2, 3, 4)
    assert look(window=1).new == (4,)


def test_a_span_that_changed_is_new_again(look, data, recorder, make_image_folder):
    data(1, 2)
    recorder.run(look.spans())
    make_image_folder(data.folder / 'span-1', 1, seed=99)
    decision = look()
    assert decision.train
    assert decision.new == (1,)
    assert re.match(
        r'span 1 has changed since the run of [-\d: ]+ used it \(10 images\)', decision.reason
    )


def test_a_model_that_was_not_pushed_for_want_of_time_is_a_reason(look, data, recorder):
    data(1)
    recorder.run(look.spans(), pushed=False)
    decision = look()
    assert decision.train
    assert 'span 1 was blessed but not pushed' in decision.reason


def test_few_new_images_wait_for_more(look, data, recorder):
    data(1)
    recorder.run(look.spans())
    data(2)
    decision = look(min_new_images=9)
    assert not decision.train
    assert decision.reason == 'span 2 is new (8 images); waiting for 9 (min_new_images)'
    data(3)
    assert look(min_new_images=9).train


def test_few_new_images_that_drifted_do_not_wait(look, data, recorder):
    data(1)
    recorder.run(look.spans())
    darken(data(2) / 'span-2')
    assert not look(min_new_images=100).train
    decision = look(min_new_images=100, drift_threshold=0.2)
    assert decision.train
    assert re.search(r'; brightness of span 2 moved by 0\.\d\d \(limit 0\.2\)', decision.reason)


def test_images_like_those_of_the_live_model_have_not_drifted(look, data, recorder):
    data(1)
    recorder.run(look.spans())
    data(2)
    assert look(drift_threshold=0.2).reason == 'span 2 is new (8 images)'


def test_drift_that_a_candidate_did_not_answer_is_told_and_not_trained_again(look, data, recorder):
    data(1)
    recorder.run(look.spans())
    darken(data(2) / 'span-2')
    recorder.run(look.spans(), blessed=False)
    decision = look(drift_threshold=0.2)
    assert not decision.train
    assert 'brightness of span 2 moved by' in decision.reason
    assert decision.reason.endswith('the candidate that was trained on it was not good enough')


def test_what_the_live_model_has_seen_is_no_drift(look, data, recorder):
    data(1)
    recorder.run(look.spans())
    darken(data(2) / 'span-2')
    recorder.run(look.spans())
    assert 'moved' not in look(drift_threshold=0.01).reason


def test_spans_that_left_the_folder_are_compared_with_if_they_are_kept(
    look, data, recorder, tmp_path
):
    kept = tmp_path / 'kept.json'
    span = data(1) / 'span-1'
    look(drift_threshold=0.2, kept=kept)
    recorder.run(look.spans())
    span.rename(tmp_path / 'gone')
    darken(data(2) / 'span-2')
    assert 'moved' not in look(drift_threshold=0.2).reason
    assert 'moved' in look(drift_threshold=0.2, kept=kept).reason
    kept.write_text('{"torn')
    assert 'moved' not in look(drift_threshold=0.2, kept=kept).reason


def test_a_live_model_that_is_too_old_is_a_reason(look, data, recorder):
    data(1)
    recorder.run(look.spans())
    assert not look(days=29, max_age_days=30).train
    decision = look(days=31, max_age_days=30)
    assert decision.train
    assert decision.reason.startswith('the live model is 31.0 days old (limit 30); span 1 was used')


def test_a_live_model_that_is_too_old_does_not_wait_for_more_images(look, data, recorder):
    data(1)
    recorder.run(look.spans())
    data(2)
    assert not look(days=29, min_new_images=9, max_age_days=30).train
    decision = look(days=31, min_new_images=9, max_age_days=30)
    assert decision.train
    assert decision.new == (2,)
    assert decision.reason == (
        'span 2 is new (8 images), fewer than 9 (min_new_images), '
        'but the live model is 31.0 days old (limit 30)'
    )


def test_few_images_wait_where_no_model_is_live(look, data):
    data(1)
    assert not look(days=31, min_new_images=9, max_age_days=30).train


def test_an_old_model_is_not_tried_again_every_day(look, data, recorder, monkeypatch):
    data(1)
    recorder.run(look.spans())
    live = read_live(recorder)
    monkeypatch.setattr('pipeline.retraining.decision.read_history', lambda *_: live)
    decision = look(days=0, max_age_days=30)
    assert not decision.train
    assert (
        'the live model is 40.0 days old (limit 30), but a candidate was not good enough 0.0'
        in (decision.reason)
    )


def read_live(recorder):
    """A live model of forty days, and a candidate of today that was not good enough."""
    import dataclasses

    from pipeline.retraining.used_spans import read_history

    history = read_history(recorder.store, 'pets')
    old = dataclasses.replace(history.live, since=NOW - datetime.timedelta(days=40))
    candidate = dataclasses.replace(history.candidates[0], blessed=False, ended=NOW)
    return dataclasses.replace(history, candidates=(candidate,), pushes=(old,))


@pytest.mark.parametrize(
    ('numbers', 'words'),
    [
        ([4], 'span 4'),
        ([1, 2], 'spans 1 and 2'),
        ([1, 2, 3], 'spans 1 to 3'),
        ([1, 2, 4], 'spans 1, 2 and 4'),
    ],
)
def test_spans_are_named_briefly(numbers, words):
    assert named(numbers) == words


def test_a_time_is_that_of_this_machine():
    assert time_of(NOW) == f'{NOW.astimezone():%Y-%m-%d %H:%M}'


def test_the_decision_needs_no_tensorflow():
    check = (
        'import sys, pipeline.retraining.tick\n'
        "print([name for name in ('tensorflow', 'tfx', 'apache_beam') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, '-c', check], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == '[]\n', done.stderr
