"""One tick, with a fake runner that trains nothing."""

import datetime
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ml_metadata
import pytest

from common import console
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
)
from components.image_example_gen.sources.spans import open_window
from pipeline.config.recipe import Recipe
from pipeline.execution.outcome import Outcome
from pipeline.retraining import tick as module
from pipeline.retraining.decision import Decision
from pipeline.retraining.journal import Journal
from pipeline.retraining.tick import Tools, record_end, retrain, tick_lock

NOW = datetime.datetime(2026, 11, 21, 2, tzinfo=datetime.timezone.utc)
REPOSITORY = Path(__file__).parents[3]
HOUR = datetime.timedelta(hours=1)
KILLED = ('killed', 'killed by SIGKILL', 1)


def caused(error: Exception, *causes: Exception) -> Exception:
    """An error with a chain of causes, as `pipeline.local.run_recipe.run` raises it."""
    for outer, inner in zip([error, *causes], causes, strict=False):
        outer.__cause__ = inner
    return error


class Runner:
    """Replaces `pipeline.local.run_recipe.run`; returns or raises one result after the other."""

    def __init__(self, *results) -> None:
        self.results = list(results)
        self.recipes: list[Recipe] = []
        self.pauses: list[float] = []

    def __call__(self, recipe: Recipe, *, verbose: bool = False) -> Outcome:
        self.recipes.append(recipe)
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result() if callable(result) else result

    @property
    def tools(self) -> Tools:
        return Tools(run=self, now=lambda: NOW, sleep=self.pauses.append)


def outcome(**changes) -> Outcome:
    values = {
        'run_id': 'run-7',
        'blessed': True,
        'unchanged': False,
        'accuracy': 0.95,
        'baseline_accuracy': 0.9,
        'previous_accuracy': 0.93,
        'reasons': (),
        'pushed_to': Path('/serving/7'),
        'newest_version': Path('/serving/7'),
    }
    return Outcome(**{**values, **changes})


@pytest.fixture
def recipe(tmp_path, make_image_folder):
    """A recipe with one span; `recipe(max_attempts=1)` sets keys of `retrain:`."""
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=2)

    def make(**values) -> Recipe:
        return Recipe(
            name='pets',
            workdir=tmp_path / 'runs',
            retrain=values,
            data={'source': 'folder', 'path': tmp_path / 'data'},
        )

    return make


@pytest.fixture
def journal(recipe) -> Journal:
    recipe().home.mkdir(parents=True)
    return Journal(recipe().home / 'ticks.jsonl')


@pytest.fixture
def used(recipe, recorder, monkeypatch):
    """A pushed model was trained on the span."""
    (span,) = open_window(recipe().data)
    recorder.run({span.number: span.source.fingerprint})
    version = recipe().serving_directory / '1001'
    version.mkdir(parents=True)
    (version / 'saved_model.pb').touch()
    monkeypatch.setattr(module, 'open_store', lambda *_: recorder.store)


def lines(recipe: Recipe) -> list[dict]:
    return [json.loads(line) for line in (recipe.home / 'ticks.jsonl').read_text().splitlines()]


def test_blessed_model_is_pushed(recipe):
    tick = retrain(recipe(), Runner(outcome()).tools)
    assert (tick.verdict, tick.exit_code, tick.attempts) == ('blessed', 0, 1)
    assert (tick.accuracy, tick.previous_accuracy, tick.run) == (0.95, 0.93, 'run-7')
    assert (tick.reason, tick.pushed_to) == ('pushed to /serving/7', '/serving/7')
    assert tick.decision == 'span 1 is new (4 images)'
    assert tick.spans == tick.new == (1,)


def test_trains_nothing_without_a_reason(recipe, used):
    runner = Runner()
    tick = retrain(recipe(), runner.tools)
    assert (tick.verdict, tick.exit_code, tick.train) == ('nothing new', 0, False)
    assert tick.reason.startswith('nothing new: span 1 was used by the run of')
    assert not runner.recipes


def test_candidate_that_is_not_blessed_exits_with_zero(recipe):
    result = outcome(blessed=False, reasons=('accuracy is 0.02 below',), pushed_to=None)
    tick = retrain(recipe(), Runner(result).tools)
    assert (tick.verdict, tick.exit_code) == ('not blessed', 0)
    assert tick.reason == 'the live model stays: accuracy is 0.02 below'
    assert tick.pushed_to is None


def test_fully_cached_run_is_unchanged(recipe):
    assert retrain(recipe(), Runner(outcome(unchanged=True)).tools).verdict == 'unchanged'


@pytest.mark.parametrize(('configured', 'used'), [(True, 'latest_blessed'), (False, None)])
def test_warm_start_is_optional(recipe, configured, used):
    runner = Runner(outcome())
    retrain(recipe(warm_start=configured), runner.tools)
    assert runner.recipes[0].trainer.warm_start == used


def test_failed_run_is_retried_with_doubling_pauses(recipe):
    runner = Runner(RunError('Trainer failed'), RunError('Trainer failed'), outcome())
    tick = retrain(recipe(max_attempts=3, backoff_seconds=5), runner.tools)
    assert (tick.verdict, tick.attempts) == ('blessed', 3)
    assert runner.pauses == [5, 10]


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
    ],
    ids=[
        'run',
        'push',
        'metadata',
        'damaged metadata',
        'data',
        'anomalies',
        'recipe',
        'recipe in a component',
        'model',
    ],
)
def test_retries_only_retryable_errors(recipe, error, code, attempts):
    tick = retrain(recipe(), Runner(*[error] * attempts).tools)
    assert (tick.verdict, tick.exit_code, tick.attempts) == ('failed', code, attempts)
    assert tick.reason.startswith(str(error))


class Unavailable:
    """Raises the errors one after the other, then returns a value."""

    def __init__(self, value, *errors) -> None:
        self._value, self._errors = value, list(errors)

    def __call__(self, *_):
        if self._errors:
            raise self._errors.pop(0)
        return self._value


@pytest.mark.parametrize('name', ['open_store', 'decide'])
def test_decision_is_retried_while_metadata_is_unavailable(recipe, recorder, monkeypatch, name):
    value, error = {
        'open_store': (recorder.store, MetadataError('no connection')),
        'decide': (Decision(True, 'span 1 is new'), ml_metadata.errors.UnavailableError('gone')),
    }[name]
    monkeypatch.setattr(module, name, Unavailable(value, error, error))
    runner = Runner(outcome())
    tick = retrain(recipe(max_attempts=3, backoff_seconds=5), runner.tools)
    assert (tick.verdict, tick.attempts) == ('blessed', 1)
    assert runner.pauses == [5, 10]


def test_unavailable_metadata_fails_the_tick(recipe, monkeypatch):
    monkeypatch.setattr(module, 'open_store', Unavailable(None, *[MetadataError('no answer')] * 3))
    tick = retrain(recipe(max_attempts=3), Runner().tools)
    assert (tick.verdict, tick.exit_code, tick.attempts) == ('failed', 1, 3)
    assert tick.reason == 'no answer'


def test_unusable_data_is_reported_with_what_to_do(recipe):
    tick = retrain(recipe(), Runner(DataError('cat.jpg is torn')).tools)
    assert tick.reason == (
        'cat.jpg is torn; no model is trained until the data is repaired or removed'
    )


def test_missing_data_fails_the_tick_without_retry(recipe, tmp_path):
    (tmp_path / 'data').rename(tmp_path / 'elsewhere')
    runner = Runner()
    tick = retrain(recipe(), runner.tools)
    assert (tick.verdict, tick.exit_code) == ('failed', 1)
    assert 'does not exist' in tick.reason
    assert not runner.pauses


def test_unexpected_error_fails_the_tick(recipe):
    tick = retrain(recipe(), Runner(ZeroDivisionError('division by zero')).tools)
    assert (tick.verdict, tick.exit_code) == ('failed', 1)
    assert tick.reason == 'ZeroDivisionError: division by zero'
    assert tick.decision == 'span 1 is new (4 images)'


def test_tick_is_skipped_during_a_manual_run(recipe):
    tick = retrain(recipe(), Runner(AlreadyRunning('another run of pets is going on')).tools)
    assert (tick.verdict, tick.exit_code) == ('skipped', 0)


def test_tick_is_skipped_during_another_tick(recipe):
    runner = Runner()
    with tick_lock(recipe().home):
        tick = retrain(recipe(), runner.tools)
    assert (tick.verdict, tick.exit_code) == ('skipped', 0)
    assert tick.reason == 'another tick of pets is running; this one is skipped'
    assert not runner.recipes


def test_ctrl_c_stops_the_tick(recipe):
    tick = retrain(recipe(), Runner(KeyboardInterrupt()).tools)
    assert (tick.verdict, tick.exit_code) == ('stopped', 130)


def test_sigterm_stops_the_tick(recipe):
    def terminated() -> Outcome:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        raise AssertionError('no SIGTERM')

    before = signal.getsignal(signal.SIGTERM)
    tick = retrain(recipe(), Runner(terminated).tools)
    assert (tick.verdict, tick.exit_code) == ('stopped', 143)
    assert signal.getsignal(signal.SIGTERM) == before
    with tick_lock(recipe().home):  # was released
        pass


def test_lock_of_a_killed_tick_is_released(recipe):
    script = (
        'import sys, time; from pathlib import Path\n'
        'from pipeline.retraining.tick import tick_lock\n'
        "with tick_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, '-c', script, recipe().home]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == 'held\n'
        assert retrain(recipe(), Runner().tools).verdict == 'skipped'
        holder.kill()
    assert retrain(recipe(), Runner(outcome()).tools).verdict == 'blessed'


def test_reports_that_the_previous_tick_was_killed(recipe, journal):
    journal.start(NOW)
    stream = io.StringIO()
    with console.output_to(stream):
        retrain(recipe(), Runner(outcome()).tools)
    assert 'was killed; this tick does its work' in stream.getvalue()


def test_journal_has_a_line_for_start_decision_and_result(recipe):
    retrain(recipe(), Runner(outcome()).tools)
    started, decided, ended = lines(recipe())
    assert {started['tick'], decided['tick']} == {ended['tick']}
    assert (started['started'], started['pid']) == ('2026-11-21T02:00:00Z', os.getpid())
    assert (decided['train'], decided['spans']) == (True, [1])
    assert (ended['verdict'], ended['pushed_to']) == ('blessed', '/serving/7')


def test_result_is_recorded_for_a_killed_process(recipe, journal):
    journal.start(NOW - HOUR, pid=1234)  # of an earlier process with the same id
    tick = journal.start(NOW, pid=1234)
    journal.start(NOW, pid=99)
    recorded = record_end(recipe(), 1234, NOW, *KILLED)
    assert (recorded.tick, recorded.verdict, recorded.exit_code) == (tick.tick, 'killed', 1)
    recorded = record_end(recipe(), 77, NOW, *KILLED)  # killed before it recorded its start
    assert (recorded.pid, recorded.started, recorded.verdict) == (77, NOW, 'killed')


def test_recorded_result_is_not_replaced(recipe, journal):
    journal.start(NOW - HOUR, pid=1234)
    journal.start(NOW, pid=1234, verdict='blessed')
    before = lines(recipe())
    assert record_end(recipe(), 1234, NOW, *KILLED) is None
    assert lines(recipe()) == before


def test_unwritable_workdir_is_an_error(recipe, tmp_path):
    (tmp_path / 'runs').write_text('a file')
    with pytest.raises(ConfigError, match=r'workdir .*pets cannot be used: '):
        retrain(recipe(), Runner().tools)


def test_webhook_gets_the_result_and_its_error_is_recorded(recipe, monkeypatch):
    posted = []
    monkeypatch.setattr(module, 'post_to_webhook', lambda *args: posted.append(args) or 'error')
    tick = retrain(recipe(webhook_env='HOOK', max_attempts=1), Runner(RunError('no space')).tools)
    ((variable, message),) = posted
    assert variable == 'HOOK'
    assert message == {
        'recipe': 'pets',
        'started': '2026-11-21T02:00:00Z',
        'ended': '2026-11-21T02:00:00Z',
        'decision': 'span 1 is new (4 images)',
        'spans': [1],
        'verdict': 'failed',
        'reason': 'no space',
        'exit_code': 1,
        'attempts': 1,
        'run': None,
        'accuracy': None,
        'previous_accuracy': None,
        'pushed_to': None,
    }
    assert (tick.exit_code, tick.webhook) == (1, 'error')
    assert lines(recipe())[-1]['webhook'] == 'error'


def test_webhook_gets_nothing_if_no_run_was_started(recipe, used, monkeypatch):
    monkeypatch.setattr(module, 'post_to_webhook', lambda *_: pytest.fail('posted'))
    retrain(recipe(webhook_env='HOOK'), Runner().tools)
