"""When there is a reason to train, and how the reason reads."""

import dataclasses
import datetime
import re
import subprocess
import sys
from pathlib import Path

import pytest

from components.image_example_gen.sources.spans import open_window
from pipeline.config.recipe import Recipe
from pipeline.retraining import decision as module
from pipeline.retraining.decision import decide
from pipeline.retraining.used_spans import read_history

NOW = datetime.datetime.now(datetime.timezone.utc)
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def data(tmp_path, make_image_folder):
    """`data(1, 2)` makes two spans of eight images each."""
    folder = tmp_path / 'data'
    folder.mkdir()

    def make(*numbers):
        for number in numbers:
            make_image_folder(folder / f'span-{number}', 4, seed=number)

    make.folder = folder
    return make


@pytest.fixture
def recipe_with(data, tmp_path):
    """`recipe_with(window=2, min_new_images=5)`."""

    def make(window=3, **retrain):
        return Recipe(
            name='pets',
            workdir=tmp_path,
            retrain=retrain,
            data={'source': 'folder', 'path': data.folder, 'window': window},
        )

    return make


@pytest.fixture
def decision(recipe_with, recorder):
    """`decision(days=2, window=2, min_new_images=5)` decides `days` from now."""

    def call(days=0.0, served=True, **settings):
        recipe = recipe_with(**settings)
        if served:
            (recipe.serving_directory / '1001').mkdir(parents=True, exist_ok=True)
        return decide(recipe, recorder.store, NOW + datetime.timedelta(days=days))

    return call


@pytest.fixture
def record_run(recipe_with, recorder):
    """Records a run that used the spans in the window in their current state."""

    def call(**options):
        window = open_window(recipe_with().data)
        recorder.run({span.number: span.source.fingerprint for span in window}, **options)

    return call


def test_first_spans_are_new(decision, data):
    data(1, 2)
    found = decision()
    assert found.train
    assert found.reason == 'spans 1 and 2 are new (16 images)'
    assert found.spans == found.new == (1, 2)


def test_trains_if_the_serving_directory_is_empty(decision, data, record_run, tmp_path):
    data(1, 2)
    record_run()
    found = decision(served=False)
    assert found.train
    assert found.reason.startswith(f'version 1001 is missing from {tmp_path}/pets/serving; nothing')


def test_used_spans_are_not_new(decision, data, record_run):
    data(1, 2)
    record_run()
    found = decision(days=2.1)
    assert not found.train
    assert re.fullmatch(
        r'nothing new: spans 1 and 2 were used by the run of 20\d\d-\d\d-\d\d \d\d:\d\d; '
        r'the live model is 2\.1 days old',
        found.reason,
    )


def test_spans_of_a_candidate_that_was_not_blessed_are_not_new(decision, data, record_run):
    data(1)
    record_run(blessed=False)
    found = decision()
    assert not found.train
    assert found.reason.endswith('no model is live: no candidate was blessed')


def test_only_spans_in_the_window_count(decision, data, record_run):
    data(1, 2)
    record_run()
    data(3, 4)
    assert decision(window=3).new == (3, 4)
    assert decision(window=3).spans == (2, 3, 4)
    assert decision(window=1).new == (4,)


def test_changed_span_is_new(decision, data, record_run, make_image_folder):
    data(1, 2)
    record_run()
    make_image_folder(data.folder / 'span-1', 1, seed=99)
    found = decision()
    assert found.train
    assert found.new == (1,)
    assert re.match(
        r'span 1 has changed since the run of [-\d: ]+ used it \(10 images\)', found.reason
    )


def test_blessed_model_that_was_not_pushed_is_a_reason(decision, data, record_run):
    data(1)
    record_run(pushed=False)
    found = decision()
    assert found.train
    assert 'trained on span 1; its model was blessed but not pushed' in found.reason


def test_few_new_images_wait_for_more(decision, data, record_run):
    data(1)
    record_run()
    data(2)
    found = decision(min_new_images=9)
    assert not found.train
    assert found.reason == 'span 2 is new (8 images); waiting for 9 (min_new_images)'
    data(3)
    assert decision(min_new_images=9).train


def test_few_images_wait_without_a_live_model(decision, data):
    data(1)
    assert not decision(days=31, min_new_images=9, max_age_days=30).train


def test_old_live_model_is_a_reason(decision, data, record_run):
    data(1)
    record_run()
    assert not decision(days=29, max_age_days=30).train
    found = decision(days=31, max_age_days=30)
    assert found.train
    assert found.reason.startswith('the live model is 31.0 days old (limit 30); span 1 was used')


def test_old_live_model_overrides_min_new_images(decision, data, record_run):
    data(1)
    record_run()
    data(2)
    assert not decision(days=29, min_new_images=9, max_age_days=30).train
    found = decision(days=31, min_new_images=9, max_age_days=30)
    assert found.train
    assert found.new == (2,)
    assert found.reason == (
        'span 2 is new (8 images), fewer than 9 (min_new_images), '
        'but the live model is 31.0 days old (limit 30)'
    )


def test_recent_candidate_defers_training_by_age(decision, data, record_run, recorder, monkeypatch):
    data(1)
    record_run()
    history = read_history(recorder.store, 'pets')
    history = dataclasses.replace(
        history,
        candidates=(dataclasses.replace(history.candidates[0], blessed=False, ended=NOW),),
        pushes=(dataclasses.replace(history.live, since=NOW - datetime.timedelta(days=40)),),
    )
    monkeypatch.setattr(module, 'read_history', lambda *_: history)
    found = decision(max_age_days=30)
    assert not found.train
    assert (
        'the live model is 40.0 days old (limit 30), but a candidate was not blessed 0.0 days ago'
    ) in found.reason


def test_decision_imports_no_tensorflow():
    check = (
        'import sys, pipeline.retraining.tick\n'
        "print([name for name in ('tensorflow', 'tfx', 'apache_beam') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, '-c', check], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == '[]\n', done.stderr
