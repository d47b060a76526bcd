"""When there is a reason to train, and how the reason reads."""

import datetime
import json
import re
import shutil

import apache_beam as beam
import pytest
from ml_metadata.proto.metadata_store_pb2 import Execution

from common.errors import DataError
from components.image_example_gen.ingestion.span import ingest_span
from components.image_example_gen.sources.spans import open_window
from components.pusher.serving_folder import NOTE_FILE
from pipeline.config.recipe import Recipe
from pipeline.retraining.decision import decide

NOW = datetime.datetime.now(datetime.timezone.utc)


@pytest.fixture
def data(tmp_path, make_image_folder):
    """`data(1, 2)` makes two spans of eight images each."""

    def make(*numbers):
        for number in numbers:
            make_image_folder(tmp_path / 'data' / f'span-{number}', 4, seed=number)

    return make


@pytest.fixture
def recipe_with(tmp_path):
    """`recipe_with(window=2, min_new_images=5)`."""

    def make(window=3, classes=None, **retrain):
        path = tmp_path / 'data'
        data = {'source': 'folder', 'path': path, 'window': window, 'classes': classes}
        return Recipe(name='pets', workdir=tmp_path, retrain=retrain, data=data)

    return make


@pytest.fixture
def decision(recipe_with, pets):
    """`decision(days=2, window=2, min_new_images=5)` decides `days` from now."""

    def call(days=0.0, **settings):
        now = NOW + datetime.timedelta(days=days)
        return decide(recipe_with(**settings), pets.provenance, now)

    return call


@pytest.fixture
def record_run(recipe_with, pets):
    """Records a run that used the spans in the window in their current state."""

    def call(blessed=True, pushed=None, evaluated=True, state=Execution.COMPLETE, **options):
        window = open_window(recipe_with().data)
        spans = {span.number: span.source.fingerprint for span in window}
        options = {'evaluated': evaluated, 'state': state, 'pushed': pushed, **options}
        model = pets.train(spans, blessed=blessed, **options)
        succeeded = state in (Execution.COMPLETE, Execution.CACHED)
        if blessed and evaluated and succeeded and pushed is not False:
            pets.push(model)
        return model

    return call


def test_first_spans_are_new(decision, data):
    data(1, 2)
    found = decision()
    assert found.train
    assert found.reason == 'spans 1 and 2 are new (16 images)'
    assert found.spans == found.new == (1, 2)


@pytest.mark.parametrize('state', [Execution.COMPLETE, Execution.CACHED])
def test_used_spans_are_not_new(decision, data, record_run, state):
    data(1, 2)
    record_run(state=state)
    found = decision(days=2.1)
    assert not found.train
    assert re.fullmatch(
        r'nothing new: spans 1 and 2 were used by the run of 20\d\d-\d\d-\d\d \d\d:\d\d; '
        r'the live model is 2\.1 days old',
        found.reason,
    )


@pytest.mark.parametrize(
    ('options', 'train'),
    [
        ({'blessed': False}, False),
        ({'pushed': False}, True),
        ({'evaluated': False}, True),
        ({'state': Execution.FAILED}, True),
        ({'state': Execution.RUNNING}, True),
    ],
    ids=['not blessed', 'blessed but not pushed', 'not evaluated', 'failed', 'killed'],
)
def test_run_without_a_push_has_used_its_spans_if_not_blessed(
    decision, data, record_run, options, train
):
    data(1)
    record_run(**options)
    found = decision()
    assert found.train == train
    assert found.reason.endswith('(8 images)' if train else 'no model is live')


def test_later_push_of_a_model_makes_its_spans_used(decision, data, record_run, pets):
    data(1)
    model = record_run(pushed=False)
    pets.train({}, model=model, pushed=True)
    pets.push(model)
    assert not decision().train


def test_only_spans_in_the_window_count(decision, data, record_run):
    data(1, 2)
    record_run()
    data(3, 4)
    assert decision(window=3).new == (3, 4)
    assert decision(window=3).spans == (2, 3, 4)
    assert decision(window=1).new == (4,)


def test_changed_span_is_new(decision, data, record_run, make_image_folder, tmp_path):
    data(1)
    record_run()
    data(2)
    make_image_folder(tmp_path / 'data' / 'span-1', 1, seed=99)
    found = decision()
    assert found.train
    assert found.new == (1, 2)
    assert found.reason == 'span 2 is new; span 1 has changed (18 images)'


def test_few_new_images_wait_for_more(decision, data, record_run):
    data(1)
    record_run()
    data(2)
    found = decision(min_new_images=9)
    assert not found.train
    assert found.reason.startswith('span 2 is new (8 images); min_new_images is 9; the live model')
    data(3)
    assert decision(min_new_images=9).train


@pytest.mark.parametrize(('classes', 'window'), [(('cats',), 1), ((), 1), ((), 3)])
def test_newest_span_without_images_of_a_class_waits(
    decision, data, record_run, make_image_folder, tmp_path, classes, window
):
    data(1, 2)
    record_run()
    newest = tmp_path / 'data' / 'span-3'
    newest.mkdir()
    make_image_folder(newest, 4, classes=classes)

    waiting = decision(window=window, classes=['cats', 'dogs'])

    assert not waiting.train
    assert (waiting.spans, waiting.new) == ((), (3,))
    assert waiting.reason.startswith('nothing new: span 3 waits for more images: ')
    data(3)
    assert decision(window=window).train


def test_data_without_a_usable_span_is_an_error(decision, data, record_run, tmp_path):
    data(1)
    record_run()
    shutil.rmtree(tmp_path / 'data' / 'span-1')
    with pytest.raises(DataError, match='holds no images'):  # perhaps it is not mounted
        decision()


def test_first_span_does_not_wait(decision, make_image_folder, tmp_path):
    for number in (1, 2):
        make_image_folder(
            tmp_path / 'data' / f'span-{number}', 4, classes=('cats', 'dogs')[:number]
        )
    assert decision(window=1).train
    shutil.rmtree(tmp_path / 'data' / 'span-2' / 'dogs')
    with pytest.raises(DataError, match='has 1 class'):
        decision(window=2)


def test_reports_spans_that_the_live_model_was_trained_on_and_that_were_removed(
    decision, data, record_run, tmp_path
):
    data(1, 2, 3)
    before = record_run()
    assert decision().removed == ()
    shutil.rmtree(tmp_path / 'data' / 'span-2')

    found = decision()

    assert (found.train, found.removed) == (False, (2,))
    assert found.reason.endswith('; the live model was trained on span 2, which was removed')
    record_run(base=before)  # it started from the weights of that model
    assert decision().removed == (2,)
    record_run()
    assert decision().removed == ()


def test_old_live_model_is_a_reason_with_few_or_no_new_images(decision, data, record_run):
    data(1)
    record_run()
    assert not decision(days=29, max_age_days=30).train
    found = decision(days=31, max_age_days=30)
    assert found.train
    assert found.reason.endswith('the live model is 31.0 days old (limit 30)')
    data(2)
    assert not decision(days=29, min_new_images=9, max_age_days=30).train
    assert decision(days=31, min_new_images=9, max_age_days=30).train


def test_live_model_of_the_future_is_too_old(decision, data, record_run):
    """The clock was ahead when it was pushed."""
    data(1)
    record_run()
    assert not decision(days=-29, max_age_days=30).train
    found = decision(days=-365, max_age_days=30)
    assert found.train
    assert 'the live model was pushed 365.0 days in the future (limit 30)' in found.reason


def test_recent_candidate_defers_training_by_age(decision, data, record_run, pets):
    data(1)
    record_run()
    note = pets.live / NOTE_FILE
    pushed = NOW - datetime.timedelta(days=39)
    note.write_text(json.dumps({**json.loads(note.read_text()), 'pushed': pushed.isoformat()}))
    found = decision(days=1, max_age_days=30)
    assert not found.train
    assert found.reason.endswith(
        'the live model is 40.0 days old (limit 30), but a candidate was evaluated 1.0 days ago'
    )


def test_age_counts_from_the_push_if_the_spans_are_unknown(decision, data, pets):
    data(1)
    pets.push(pets.train({}))
    assert not decision(days=29, min_new_images=9, max_age_days=30).train
    assert decision(days=31, min_new_images=9, max_age_days=30).train


def test_trains_if_the_serving_directory_is_empty(decision, data, record_run, pets):
    data(1)
    record_run()
    shutil.rmtree(pets.serving)
    found = decision()
    assert found.train
    assert found.reason.endswith(f'; no model is in {pets.serving}')


def test_deleted_version_is_not_live(decision, data, record_run, pets):
    data(1)
    record_run()
    first = pets.live
    record_run()
    shutil.rmtree(pets.live)
    assert pets.live == first
    assert not decision(max_age_days=30).train


def test_touched_span_is_not_new(decision, data, record_run, recipe_with, tmp_path):
    data(1)
    recipe = recipe_with()
    (span,) = open_window(recipe.data)
    folder = recipe.artifacts_directory / 'ImageExampleGen' / 'examples' / '5' / 'span-1'
    ingest_span(span.source, recipe.data, (folder, tmp_path / 'quarantine'), beam.Pipeline)
    record_run()
    for file in (tmp_path / 'data').rglob('*.jpg'):
        file.touch()
    assert open_window(recipe.data)[0].source.fingerprint != span.source.fingerprint
    assert not decision().train
    file.write_bytes(b'other contents')
    assert decision().train
