"""One tick, with a fake runner that trains nothing."""

import datetime

import ml_metadata
import pytest
from example_outcome import outcome

from common.errors import (
    AlreadyRunning,
    AnomaliesFound,
    ConfigError,
    DataError,
    MetadataDamaged,
    MetadataError,
    ModelError,
    NodeFailed,
    PushError,
    RunError,
    TooFewImages,
)
from common.files import locked
from pipeline.config.recipe import Recipe
from pipeline.retraining import tick as module
from pipeline.retraining.decision import Decision
from pipeline.retraining.journal import Journal
from pipeline.retraining.tick import retrain

NOW = datetime.datetime(2026, 11, 21, 2, tzinfo=datetime.timezone.utc)
REASON = 'span 1 is new (4 images)'


def caused(error: Exception, *causes: Exception) -> Exception:
    """An error with a chain of causes, as `pipeline.local.run_recipe.run` raises it."""
    for outer, inner in zip([error, *causes], causes, strict=False):
        outer.__cause__ = inner
    return error


class Results:
    """A function that returns or raises one result after the other."""

    def __init__(self, *results) -> None:
        self.calls: list[Recipe] = []
        self._results = list(results)

    def __call__(self, recipe: Recipe, *_, **__):
        self.calls.append(recipe)
        result = self._results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts, in seconds; none of them is made."""
    seconds = []
    monkeypatch.setattr('tenacity.nap.time.sleep', seconds.append)
    return seconds


@pytest.fixture
def recipe(tmp_path, make_image_folder):
    """A recipe with one span; `recipe(classes, max_attempts=1)` sets keys of `retrain:`."""
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=2)

    def make(classes=None, **values) -> Recipe:
        data = {'source': 'folder', 'path': tmp_path / 'data', 'classes': classes}
        return Recipe(name='pets', workdir=tmp_path / 'runs', retrain=values, data=data)

    return make


@pytest.fixture
def tick(recipe, monkeypatch, pauses):
    """`tick(result, max_attempts=1)`: a tick whose runs have these results."""

    def call(*results, **settings):
        monkeypatch.setattr(module, 'run', Results(*results))
        return retrain(recipe(**settings), now=NOW)

    return call


def test_blessed_model_is_pushed(tick):
    found = tick(outcome(previous_accuracy=0.93))
    assert (found.verdict, found.exit_code, found.attempts) == ('blessed', 0, 1)
    assert (found.accuracy, found.previous_accuracy, found.run) == (0.95, 0.93, 'run-7')
    assert (found.reason, found.pushed_to) == ('pushed to /serving/7', '/serving/7')
    assert found.decision == REASON
    assert found.spans == found.new == (1,)


def test_trains_and_posts_nothing_without_a_reason(tick, monkeypatch):
    decision = Decision(False, 'nothing new: span 1 was used', spans=(1,))
    monkeypatch.setattr(module, 'decide', lambda *_: decision)
    monkeypatch.setattr(module, 'post_to_webhook', lambda *_: pytest.fail('posted'))
    found = tick(webhook_env='HOOK')
    assert (found.verdict, found.exit_code, found.train) == ('nothing new', 0, False)
    assert found.reason == decision.reason


@pytest.mark.parametrize(
    ('changes', 'verdict', 'reason'),
    [
        ({'unchanged': True}, 'unchanged', 'data and recipe give the live model'),
        ({'blessed': False, 'reasons': ('a', 'b')}, 'not blessed', 'a; b'),
    ],
)
def test_run_without_a_push_exits_with_zero(tick, changes, verdict, reason):
    found = tick(outcome(pushed_to=None, **changes))
    assert (found.verdict, found.reason, found.exit_code) == (verdict, reason, 0)
    assert found.pushed_to is None


@pytest.mark.parametrize(('configured', 'used'), [(True, 'latest_blessed'), (False, None)])
def test_warm_start_is_optional(tick, configured, used):
    tick(outcome(), warm_start=configured)
    assert module.run.calls[0].trainer.warm_start == used


@pytest.mark.parametrize(
    ('live', 'listed', 'used'),
    [
        (None, None, None),
        (['cats', 'dogs'], None, ('cats', 'dogs')),
        (['cats', 'owls'], ['cats', 'dogs'], ('cats', 'dogs')),
    ],
)
def test_classes_of_the_live_model_are_kept(tick, recorder, monkeypatch, live, listed, used):
    if live:
        recorder.run({7: 'x'}, config={'classes': live})
    monkeypatch.setattr(module, 'open_store', lambda *_: recorder.store)
    tick(outcome(), classes=listed)
    assert module.run.calls[0].data.classes == used


def test_failed_run_is_retried_with_doubling_pauses(tick, pauses, caplog):
    errors = [RunError('Trainer failed'), RunError('Trainer failed')]
    found = tick(*errors, outcome(), max_attempts=3, backoff_seconds=5)
    assert (found.verdict, found.attempts, pauses) == ('blessed', 3, [5, 10])
    assert 'Trainer failed; the next attempt is in 10 s' in caplog.messages


@pytest.mark.parametrize(
    ('error', 'code', 'attempts'),
    [
        (RunError('Trainer failed: no space; the log is x.log'), 1, 3),
        (caused(RunError('Pusher'), NodeFailed('Pusher'), PushError('')), 1, 3),
        (MetadataError('no answer'), 1, 3),
        (MetadataDamaged('damaged'), 1, 1),
        (DataError('cat.jpg is torn'), 1, 1),
        (caused(RunError('AnomalyGate'), NodeFailed('Gate'), AnomaliesFound('')), 1, 1),
        (ConfigError('no such layer'), 2, 1),
        (caused(RunError('Trainer'), NodeFailed('Trainer'), ConfigError('')), 2, 1),
        (ModelError('unknown'), 1, 1),
        (ZeroDivisionError('division'), 1, 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_retries_only_retryable_errors(tick, error, code, attempts):
    found = tick(*[error] * attempts)
    assert (found.verdict, found.exit_code, found.attempts) == ('failed', code, attempts)
    assert str(error) in found.reason
    assert found.decision == REASON


SHORTAGE = TooFewImages('4 images are too few: the test split got none; add more')


@pytest.mark.parametrize(
    ('live', 'new', 'verdict'),
    [(True, (1,), 'nothing new'), (False, (1,), 'failed'), (True, (), 'failed')],
    ids=['new span', 'no live model', 'used span'],
)
def test_new_span_that_is_too_small_waits_for_more(tick, recipe, monkeypatch, live, new, verdict):
    if live:
        (recipe().serving_directory / '1001').mkdir(parents=True)
    decision = Decision(True, REASON, spans=(1,), new=new)
    monkeypatch.setattr(module, 'decide', lambda *_: decision)

    found = tick(caused(RunError('ExampleGen failed'), NodeFailed('ExampleGen'), SHORTAGE))

    assert (found.verdict, found.exit_code) == (verdict, 0 if verdict == 'nothing new' else 1)
    if verdict == 'nothing new':
        assert found.reason == f'nothing new: span 1 waits for more images: {SHORTAGE}'
        assert not found.train


@pytest.mark.parametrize('name', ['open_store', 'decide'])
def test_decision_is_retried_while_metadata_is_unavailable(
    tick, pauses, recorder, monkeypatch, name
):
    result, error = {
        'open_store': (recorder.store, MetadataError('no connection')),
        'decide': (Decision(True, 'span 1 is new'), ml_metadata.errors.UnavailableError('gone')),
    }[name]
    monkeypatch.setattr(module, name, Results(error, error, result))
    found = tick(outcome(), max_attempts=3, backoff_seconds=5)
    assert (found.verdict, found.attempts, pauses) == ('blessed', 1, [5, 10])


@pytest.mark.parametrize(
    ('error', 'verdict', 'code'),
    [(AlreadyRunning('another run'), 'skipped', 0), (KeyboardInterrupt(), 'stopped', 130)],
)
def test_manual_run_skips_and_ctrl_c_stops_the_tick(tick, error, verdict, code):
    found = tick(error)
    assert (found.verdict, found.exit_code) == (verdict, code)


def test_tick_is_skipped_during_another_tick(tick, recipe, monkeypatch):
    monkeypatch.setattr(module, 'LOCK_SECONDS', 0)
    home = recipe().home
    home.mkdir(parents=True)
    with locked(home / '.tick.lock', AlreadyRunning()):
        found = tick()
    assert (found.verdict, found.exit_code) == ('skipped', 0)
    assert found.reason == 'another tick of pets is running; this one is skipped'


def test_webhook_gets_the_result_and_its_error_is_recorded(tick, recipe, monkeypatch):
    webhook = Results('error')
    monkeypatch.setattr(module, 'post_to_webhook', lambda variable, body: webhook((variable, body)))
    found = tick(RunError('no space'), webhook_env='HOOK', max_attempts=1)
    ((variable, message),) = webhook.calls
    assert variable == 'HOOK'
    assert (message['recipe'], message['verdict'], message['reason']) == (
        'pets',
        'failed',
        'no space',
    )
    assert message['started'] == '2026-11-21T02:00:00Z'
    assert not {'pid', 'tick'} & set(message)
    assert (found.exit_code, found.webhook) == (1, 'error')
    assert Journal(recipe().home).ticks() == [found]
    lines = (recipe().home / 'ticks.jsonl').read_text().splitlines()
    assert len(lines) == 4, 'start, decision, result, error of the webhook'
