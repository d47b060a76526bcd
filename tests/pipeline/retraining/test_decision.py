"""When there is a reason to train, and how the reason reads."""

import datetime
import json
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
    """`data(1, 2)` makes two spans of eight images each; `data(1, classes=('cats',))`."""

    def make(*numbers, **options):
        for number in numbers:
            folder = tmp_path / 'data' / f'span-{number}'
            folder.mkdir(parents=True, exist_ok=True)
            make_image_folder(folder, 4, seed=number, **options)

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

    def call(blessed=True, pushed=None, evaluated=True, state=Execution.COMPLETE, window=3):
        spans = {
            span.number: span.source.fingerprint for span in open_window(recipe_with(window).data)
        }
        options = {'evaluated': evaluated, 'state': state, 'pushed': pushed}
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
    assert found.reason == 'new or changed: 16 images in spans 1 and 2'
    assert found.spans == found.new == (1, 2)


def test_used_spans_are_not_new(decision, data, record_run):
    """Each span may be of another run, and images without spans have no number."""
    data(1)
    record_run()
    assert decision().reason.startswith('nothing new; the live model')
    data(2)
    record_run(state=Execution.CACHED, window=1)
    found = decision(days=2.1)
    assert not found.train
    assert found.reason == 'nothing new in spans 1 and 2; the live model is 2.1 days old'


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
    assert decision().train == train


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


def test_changed_span_is_new_and_a_touched_one_is_not(
    decision, data, record_run, recipe_with, tmp_path
):
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
    assert decision().new == (1,)


def test_few_new_images_wait_for_more(decision, data, record_run):
    data(1)
    record_run()
    data(2)
    found = decision(min_new_images=9)
    assert (found.train, found.new) == (False, (2,))
    assert '8 images in span 2; min_new_images is 9; the live model' in found.reason
    data(3)
    assert decision(min_new_images=9).train


@pytest.mark.parametrize(('classes', 'window'), [(('cats',), 1), ((), 1), ((), 3)])
def test_newest_span_without_images_of_a_class_waits(decision, data, record_run, classes, window):
    data(1, 2)
    record_run()
    data(3, classes=classes)

    waiting = decision(window=window, classes=['cats', 'dogs'])

    assert not waiting.train
    assert (waiting.spans, waiting.new) == ((), (3,))
    assert waiting.reason.startswith('nothing new: span 3 waits for more images: ')
    data(3)
    assert decision(window=window).train


@pytest.mark.parametrize('live', [True, False])
def test_data_without_a_usable_span_is_an_error(decision, data, record_run, tmp_path, live):
    data(1)
    if live:
        record_run()
    else:
        data(2, classes=('cats',))
    shutil.rmtree(tmp_path / 'data' / 'span-1')
    with pytest.raises(DataError):  # perhaps it is not mounted
        decision()


@pytest.mark.parametrize(
    ('days', 'limit', 'clause'),
    [
        (29, 30, ''),
        (31, None, ''),
        (31, 30, 'the live model is 31.0 days old (limit 30)'),
        (-29, 30, ''),  # the clock was ahead when it was pushed
        (-365, 30, 'the live model was pushed 365.0 days in the future (limit 30)'),
    ],
)
@pytest.mark.parametrize('more', [True, False])
def test_old_live_model_is_a_reason_with_few_or_no_new_images(
    decision, data, record_run, days, limit, clause, more
):
    data(1)
    record_run()
    if more:
        data(2)
    found = decision(days=days, min_new_images=9, max_age_days=limit)
    assert found.train == (clause != '')
    assert found.reason.endswith(clause)


def test_recent_candidate_defers_training_by_age(decision, data, record_run, pets):
    data(1)
    record_run()
    note = pets.live / NOTE_FILE
    pushed = NOW - datetime.timedelta(days=39)
    note.write_text(json.dumps({**json.loads(note.read_text()), 'pushed': pushed.isoformat()}))
    found = decision(days=1, max_age_days=30)
    assert not found.train
    assert found.reason.endswith('but a candidate was evaluated 1.0 days ago')


def test_deleted_versions_are_not_live(decision, data, record_run, pets):
    data(1)
    record_run()
    record_run()
    shutil.rmtree(pets.live)
    assert not decision(max_age_days=30).train
    shutil.rmtree(pets.serving)
    found = decision()
    assert found.train
    assert found.reason.endswith(f'; no model is in {pets.serving}')
