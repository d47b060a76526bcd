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
DAY = datetime.timedelta(days=1)


class Spans:
    """Spans of images, the runs that used them, and the decisions on them."""

    def __init__(self, folder, pets, make_image_folder):
        self.folder, self.pets, self._make_images = folder, pets, make_image_folder

    def add(self, *numbers, classes=('cats', 'dogs')):
        """Adds spans of four images of each class."""
        for number in numbers:
            span = self.folder / 'data' / f'span-{number}'
            span.mkdir(parents=True, exist_ok=True)
            self._make_images(span, 4, classes, seed=number)

    def recipe(self, window=3, classes=None, **retrain):
        path = self.folder / 'data'
        data = {'source': 'folder', 'path': path, 'window': window, 'classes': classes}
        return Recipe(name='pets', workdir=self.folder, retrain=retrain, data=data)

    def use(self, blessed=True, pushed=None, evaluated=True, state=Execution.COMPLETE, window=3):
        """Records a run that used the spans in the window in their current state."""
        found = open_window(self.recipe(window).data)
        spans = {span.number: span.source.fingerprint for span in found}
        options = {'evaluated': evaluated, 'state': state, 'pushed': pushed}
        model = self.pets.train(spans, blessed=blessed, **options)
        succeeded = state in (Execution.COMPLETE, Execution.CACHED)
        if blessed and evaluated and succeeded and pushed is not False:
            self.pets.push(model)
        return model

    def decide(self, days=0.0, **settings):
        """The decision some days from now."""
        return decide(self.recipe(**settings), self.pets.provenance, NOW + days * DAY)


@pytest.fixture
def spans(tmp_path, pets, make_image_folder):
    """One span, which no run has used."""
    spans = Spans(tmp_path, pets, make_image_folder)
    spans.add(1)
    return spans


def test_first_spans_are_new(spans):
    spans.add(2)
    found = spans.decide()
    assert found.train
    assert found.reason == 'new or changed: 16 images in spans 1 and 2'
    assert found.spans == found.new == (1, 2)


def test_used_spans_are_not_new(spans):
    """Each span may be of another run, and images without spans have no number."""
    spans.use()
    assert spans.decide().reason.startswith('nothing new; the live model')
    spans.add(2)
    spans.use(state=Execution.CACHED, window=1)
    found = spans.decide(days=2.1)
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
def test_run_without_a_push_has_used_its_spans_if_not_blessed(spans, options, train):
    spans.use(**options)
    assert spans.decide().train == train


def test_later_push_of_a_model_makes_its_spans_used(spans, pets):
    model = spans.use(pushed=False)
    pets.train({}, model=model, pushed=True)
    pets.push(model)
    assert not spans.decide().train


def test_only_spans_in_the_window_count(spans):
    spans.use()
    spans.add(2, 3, 4)
    found = spans.decide(window=2)
    assert found.spans == found.new == (3, 4)
    assert spans.decide(window=4).new == (2, 3, 4)


def test_changed_span_is_new_and_a_touched_one_is_not(spans, tmp_path):
    recipe = spans.recipe()
    (span,) = open_window(recipe.data)
    folder = recipe.artifacts_directory / 'ImageExampleGen' / 'examples' / '5' / 'span-1'
    ingest_span(span.source, recipe.data, (folder, tmp_path / 'quarantine'), beam.Pipeline)
    spans.use()
    for file in (tmp_path / 'data').rglob('*.jpg'):
        file.touch()
    assert open_window(recipe.data)[0].source.fingerprint != span.source.fingerprint
    assert not spans.decide().train
    file.write_bytes(b'other contents')
    assert spans.decide().new == (1,)


def test_few_new_images_wait_for_more(spans):
    spans.use()
    spans.add(2)
    found = spans.decide(min_new_images=9)
    assert (found.train, found.new) == (False, (2,))
    assert '8 images in span 2; min_new_images is 9; the live model' in found.reason
    spans.add(3)
    assert spans.decide(min_new_images=9).train


def test_newest_span_without_images_of_a_class_is_used(spans):
    spans.use()
    spans.add(2, classes=('cats', 'dogs'))
    found = spans.decide(window=1, classes=['cats', 'dogs', 'foxes'])
    assert (found.train, found.new) == (True, (2,))


def test_newest_span_without_images_is_an_error(spans):
    spans.use()
    spans.add(2, classes=())
    with pytest.raises(DataError):  # perhaps it is not mounted
        spans.decide(window=1)


@pytest.mark.parametrize(
    ('days', 'limit', 'clause'),
    [
        (29, 30, ''),
        (31, None, ''),
        (31, 30, 'the live model is 31.0 days old (limit 30)'),
        (-29, 30, ''),  # the clock was ahead when it was pushed
        (-365, 30, 'the live model is -365.0 days old (limit 30)'),
    ],
)
@pytest.mark.parametrize('more', [True, False])
def test_old_live_model_is_a_reason_with_few_or_no_new_images(spans, days, limit, clause, more):
    spans.use()
    if more:
        spans.add(2)
    found = spans.decide(days=days, min_new_images=9, max_age_days=limit)
    assert found.train == (clause != '')
    assert found.reason.endswith(clause)


def test_recent_candidate_defers_training_by_age(spans, pets):
    spans.use()
    note = pets.live / NOTE_FILE
    pushed = (NOW - 39 * DAY).isoformat()
    note.write_text(json.dumps({**json.loads(note.read_text()), 'pushed': pushed}))
    found = spans.decide(days=1, max_age_days=30)
    assert not found.train
    assert found.reason.endswith('but a candidate was evaluated 1.0 days ago')


def test_deleted_versions_are_not_live(spans, pets):
    spans.use()
    spans.use()
    shutil.rmtree(pets.live)
    assert not spans.decide(max_age_days=30).train
    shutil.rmtree(pets.serving)
    found = spans.decide()
    assert found.train
    assert found.reason.endswith(f'; no model is in {pets.serving}')
