"""One tick, with a fake runner that trains nothing."""

import datetime
from types import SimpleNamespace

import ml_metadata
import pytest
from example_record import PUSHED

from common.errors import (
    AlreadyRunning,
    AnomaliesFound,
    DataError,
    MetadataDamaged,
    MetadataError,
    NodeFailed,
    PushError,
    RunError,
)
from common.files import locked
from pipeline.config.recipe import Recipe
from pipeline.retraining import tick as module
from pipeline.retraining import webhook
from pipeline.retraining.decision import Decision
from pipeline.retraining.tick import run_if_new
from pipeline.run.record import LAST_TICK, find_run, read_runs

NOW = datetime.datetime(2026, 11, 21, 2, tzinfo=datetime.timezone.utc)
NOT_BLESSED = {'result': 'not blessed', 'exit_code': 3, 'reasons': ('a', 'b')}
FAILED = RunError('Trainer failed')


def caused(error: Exception, *causes: Exception) -> Exception:
    """An error with a chain of causes, as `pipeline.local.run_recipe.run` raises it."""
    for outer, inner in zip([error, *causes], causes, strict=False):
        outer.__cause__ = inner
    return error


class Results:
    """A function that returns or raises one result after the other; a dict is the end of a run."""

    def __init__(self, *results) -> None:
        self.calls: list[Recipe] = []
        self._results = list(results)

    def __call__(self, recipe: Recipe, record=None, *_, **__):
        self.calls.append(recipe)
        result = self._results.pop(0)
        if hasattr(record, 'start'):
            record.start()
        if isinstance(result, tuple):  # after the end of the run
            record.end(**result[0])
            result = result[1]
        if isinstance(result, BaseException):
            raise result
        return record.end(**result) if isinstance(result, dict) else result


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts, in seconds; none of them is made."""
    seconds = []
    monkeypatch.setattr(module, 'time', SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.fixture
def posted(monkeypatch):
    """The messages to the webhook."""
    messages = []
    monkeypatch.setenv('HOOK', 'http://host')
    monkeypatch.setattr(webhook, '_post', lambda _, message: messages.append(message))
    return messages


@pytest.fixture
def recipe(tmp_path, make_image_folder):
    """A recipe with one span; `recipe(classes, max_attempts=1)` sets keys of `retrain:`."""
    make_image_folder(tmp_path / 'data' / 'span-2', per_class=2)

    def make(classes=None, **values) -> Recipe:
        data = {'source': 'folder', 'path': tmp_path / 'data', 'classes': classes}
        retrain = {'webhook_env': 'HOOK', **values}
        return Recipe(name='pets', workdir=tmp_path / 'runs', retrain=retrain, data=data)

    return make


@pytest.fixture
def tick(recipe, monkeypatch, pauses, posted):
    """`tick(result, max_attempts=1)`: a tick whose runs have these results."""

    def call(*results, **settings):
        monkeypatch.setattr(module, 'run_recorded', Results(*results))
        return run_if_new(recipe(**settings), now=NOW)

    return call


@pytest.mark.parametrize('end', [PUSHED, NOT_BLESSED])
def test_tick_that_trains_is_recorded_as_a_run_and_posted(tick, recipe, posted, end):
    found = tick(end)
    assert read_runs(recipe().home) == [found]
    assert (found.kind, found.result, found.started) == ('tick', end['result'], NOW)
    assert (found.decision, found.exit_code) == ('new or changed: 4 images in span 2', 0)
    assert (found.spans, found.new) == ((2,), (2,))
    assert not (recipe().home / LAST_TICK).exists()
    assert [each['result'] for each in posted] == [end['result']]


def test_tick_without_a_reason_is_one_overwritten_file(tick, recipe, posted, monkeypatch):
    monkeypatch.setattr(module, 'decide', lambda *_: Decision(False, 'nothing new', spans=(1,)))
    tick()
    found = tick()
    assert (found.result, found.decision, found.exit_code) == ('nothing new', 'nothing new', 0)
    assert find_run(recipe().home, found.id) == found
    assert (read_runs(recipe().home), posted) == ([], [])


@pytest.mark.parametrize(
    ('live', 'settings', 'classes'),
    [
        (None, {}, None),
        (['cats', 'dogs'], {}, ('cats', 'dogs')),
        (['cats', 'owls'], {'classes': ['cats', 'dogs']}, ('cats', 'dogs')),
    ],
)
def test_classes_of_the_live_model_are_kept_by_default(
    tick, recipe, add_version, live, settings, classes
):
    if live:
        add_version(recipe().serving_directory, live)
    tick(PUSHED, **settings)
    (used,) = module.run_recorded.calls
    assert used.data.classes == classes


def test_failed_run_is_retried_with_doubling_pauses(tick, recipe, pauses):
    found = tick(FAILED, FAILED, PUSHED, max_attempts=3, backoff_seconds=5)
    assert (found.result, found.attempt, pauses) == ('blessed', 3, [5, 10])
    first, *others = read_runs(recipe().home)
    assert (first.attempt, first.started) == (1, NOW)
    assert [run.result for run in others] == ['failed', 'blessed']
    # Seconds are of the attempt, and the test takes fewer than these since the tick started.
    assert all(run.seconds < 60 < (run.started - NOW).total_seconds() for run in others)


@pytest.mark.parametrize(
    ('name', 'error'),
    [
        ('open_store', MetadataError('no connection')),
        ('decide', ml_metadata.errors.UnavailableError('gone')),
    ],
)
def test_decision_is_retried_while_metadata_is_unavailable(
    tick, recipe, pauses, recorder, monkeypatch, name, error
):
    result = {'open_store': recorder.store, 'decide': Decision(True, 'span 1 is new')}[name]
    monkeypatch.setattr(module, name, Results(error, error, result))
    found = tick(PUSHED, max_attempts=3, backoff_seconds=5)
    assert (found.result, found.attempt, pauses) == ('blessed', 3, [5, 10])
    assert read_runs(recipe().home) == [found]


def test_error_of_the_metadata_server_is_named(tick, monkeypatch):
    error = ml_metadata.errors.UnavailableError('gone')
    monkeypatch.setattr(module, 'decide', Results(error))
    found = tick(max_attempts=1)
    assert (found.reasons, found.exit_code) == (('the metadata cannot be used: gone',), 2)


@pytest.mark.parametrize(
    ('error', 'code', 'attempts'),
    [
        (RunError('Trainer failed: no space; the log is x.log'), 1, 3),
        (caused(RunError('Pusher'), NodeFailed('Pusher'), PushError('')), 1, 3),
        (MetadataError('no answer'), 2, 3),
        (MetadataDamaged('damaged'), 2, 1),
        (DataError('cat.jpg is torn'), 2, 1),
        (caused(RunError('AnomalyGate'), NodeFailed('Gate'), AnomaliesFound('')), 1, 1),
        (ZeroDivisionError('division'), 1, 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_retries_only_retryable_errors(tick, posted, error, code, attempts):
    found = tick(*[error] * attempts)
    assert (found.result, found.exit_code, found.attempt) == ('failed', code, attempts)
    assert str(error) in found.reasons[0]
    assert [each['reasons'] for each in posted] == [list(found.reasons)]


def test_decision_that_fails_is_recorded_and_posted(tick, recipe, monkeypatch, posted):
    monkeypatch.setattr(module, 'decide', Results(DataError('no images')))
    found = tick()
    assert (found.result, found.reasons, found.exit_code) == ('failed', ('no images',), 2)
    assert find_run(recipe().home, found.id) == found
    assert [each['result'] for each in posted] == ['failed']


@pytest.mark.parametrize(
    ('result', 'end'),
    [
        (KeyboardInterrupt(), ('interrupted', 130)),
        ((PUSHED, KeyboardInterrupt()), ('blessed', 0)),
        (FAILED, ('interrupted', 130)),  # in the pause before the next attempt
    ],
)
def test_interrupt_is_the_end_unless_a_model_was_pushed(tick, posted, monkeypatch, result, end):
    monkeypatch.setattr(module, 'time', SimpleNamespace(sleep=Results(KeyboardInterrupt())))
    found = tick(result, max_attempts=2)
    assert (found.result, found.exit_code) == end
    assert len(posted) == (end[0] == 'blessed')


def test_tick_is_skipped_during_another_run(tick, recipe, posted):
    home = recipe().home
    home.mkdir(parents=True)
    with locked(home / '.lock', AlreadyRunning()):
        found = tick()
    assert (found.result, found.exit_code, posted) == ('skipped', 0, [])
    assert sorted(path.name for path in home.iterdir()) == ['.lock']
