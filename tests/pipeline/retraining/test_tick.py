"""One tick, with a runner that trains nothing."""

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
from ml_metadata.proto import metadata_store_pb2 as mlmd

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
from pipeline.retraining import tick as ticks
from pipeline.retraining.decision import Decision
from pipeline.retraining.journal import Journal
from pipeline.retraining.tick import Tools, note_end, only_tick, retrain

NOW = datetime.datetime(2026, 11, 21, 2, tzinfo=datetime.timezone.utc)
REPOSITORY = Path(__file__).parents[3]
HOUR = datetime.timedelta(hours=1)
KILLED = {'verdict': 'killed', 'reason': 'killed by SIGKILL', 'exit_code': 1}


def raised(error: Exception, *causes: Exception) -> Exception:
    """An error with the chain of causes that `pipeline.local.run_recipe.run` leaves."""
    for outer, inner in zip([error, *causes], causes, strict=False):
        outer.__cause__ = inner
    return error


class Runner:
    """Stands for `pipeline.local.run_recipe.run`; gives or raises one end after the other."""

    def __init__(self, *ends) -> None:
        self.ends = list(ends)
        self.recipes: list[Recipe] = []
        self.pauses: list[float] = []

    def __call__(self, recipe: Recipe, *, verbose: bool = False) -> Outcome:
        self.recipes.append(recipe)
        end = self.ends.pop(0)
        if isinstance(end, BaseException):
            raise end
        if callable(end):
            return end()
        return end

    @property
    def tools(self) -> Tools:
        return Tools(run=self, now=lambda: NOW, sleep=self.pauses.append)


def outcome(**changes) -> Outcome:
    usual = {
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
    return Outcome(**{**usual, **changes})


@pytest.fixture
def recipe(tmp_path, make_image_folder):
    """Of one span; `recipe(attempts=1)` sets keys of `retrain:`."""
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
def used(recipe, recorder, monkeypatch):
    """The span was used by a run that was pushed."""
    (span,) = open_window(recipe().data)
    recorder.run({span.number: span.source.fingerprint})
    version = recipe().serving_directory / '1001'
    version.mkdir(parents=True)
    (version / 'saved_model.pb').touch()
    monkeypatch.setattr(ticks, 'open_store', lambda *_: recorder.store)


def events(recipe: Recipe) -> list[dict]:
    return [json.loads(line) for line in (recipe.home / 'ticks.jsonl').read_text().splitlines()]


def test_a_better_model_is_pushed(recipe, capsys):
    tick = retrain(recipe(), Runner(outcome()).tools)
    assert (tick.verdict, tick.exit_code, tick.attempts) == ('blessed', 0, 1)
    assert (tick.accuracy, tick.previous_accuracy, tick.run) == (0.95, 0.93, 'run-7')
    assert tick.reason == 'pushed to /serving/7'
    assert tick.decision == 'span 1 is new (4 images)'
    assert tick.spans == tick.new == (1,)


def test_nothing_new_trains_nothing(recipe, used):
    runner = Runner()
    tick = retrain(recipe(), runner.tools)
    assert (tick.verdict, tick.exit_code, tick.train) == ('nothing new', 0, False)
    assert tick.reason.startswith('nothing new: span 1 was used by the run of')
    assert not runner.recipes


def test_a_candidate_that_is_not_better_is_a_normal_end(recipe):
    end = outcome(blessed=False, reasons=('accuracy is 0.02 below',), pushed_to=None)
    tick = retrain(recipe(), Runner(end).tools)
    assert (tick.verdict, tick.exit_code) == ('not blessed', 0)
    assert tick.reason == 'the live model stays: accuracy is 0.02 below'
    assert tick.pushed_to is None


def test_a_run_that_was_cached_to_its_end_pushed_nothing(recipe):
    assert retrain(recipe(), Runner(outcome(unchanged=True)).tools).verdict == 'unchanged'


@pytest.mark.parametrize(('asked', 'given'), [(True, 'latest_blessed'), (False, None)])
def test_it_continues_from_the_last_blessed_model_if_asked_to(recipe, asked, given):
    runner = Runner(outcome())
    retrain(recipe(warm_start=asked), runner.tools)
    assert runner.recipes[0].trainer.warm_start == given


def test_a_run_that_fails_is_tried_again_with_longer_and_longer_pauses(recipe):
    runner = Runner(RunError('Trainer failed'), RunError('Trainer failed'), outcome())
    tick = retrain(recipe(attempts=3, backoff_seconds=5), runner.tools)
    assert (tick.verdict, tick.attempts) == ('blessed', 3)
    assert runner.pauses == [5, 10]


def test_a_run_that_fails_for_good_is_a_failed_tick(recipe):
    runner = Runner(*[RunError('Trainer failed: no space; the log is x.log')] * 2)
    tick = retrain(recipe(attempts=2), runner.tools)
    assert (tick.verdict, tick.exit_code, tick.attempts) == ('failed', 1, 2)
    assert tick.reason == 'Trainer failed: no space; the log is x.log'


@pytest.mark.parametrize(
    ('error', 'code', 'attempts'),
    [
        (DataError('cat.jpg is torn'), 1, 1),
        (raised(RunError('AnomalyGate'), NodeFailed('Gate'), AnomaliesFound('')), 1, 1),
        (ConfigError('no such layer'), 2, 1),
        (raised(RunError('Trainer'), NodeFailed('Trainer'), ConfigError('')), 2, 1),
        (MetadataError('no answer'), 1, 3),
        (MetadataDamaged('damaged'), 1, 1),
        (raised(RunError('Pusher'), NodeFailed('Pusher'), PushError('')), 1, 3),
        (ModelError('unknown'), 1, 1),
    ],
    ids=[
        'data',
        'anomalies',
        'recipe',
        'recipe in a component',
        'metadata',
        'damaged metadata',
        'push',
        'model',
    ],
)
def test_only_what_may_heal_is_tried_again(recipe, error, code, attempts):
    tick = retrain(recipe(), Runner(*[error] * attempts).tools)
    assert (tick.verdict, tick.exit_code, tick.attempts) == ('failed', code, attempts)
    assert str(error) in tick.reason


class Away:
    """Metadata that is away as often as there are errors."""

    def __init__(self, store, *errors) -> None:
        self._store, self._errors = store, list(errors)

    def __call__(self, *_):
        if self._errors:
            raise self._errors.pop(0)
        return self._store


@pytest.mark.parametrize('name', ['open_store', 'decide'])
def test_metadata_that_is_away_for_a_moment_does_not_fail_the_tick(
    recipe, recorder, monkeypatch, name
):
    error = {
        'open_store': MetadataError('nothing answers there'),
        'decide': ml_metadata.errors.UnavailableError('gone'),
    }[name]
    usual = {'open_store': recorder.store, 'decide': Decision(True, 'span 1 is new')}[name]
    monkeypatch.setattr(ticks, name, Away(usual, error, error))
    runner = Runner(outcome())
    tick = retrain(recipe(attempts=3, backoff_seconds=5), runner.tools)
    assert (tick.verdict, tick.attempts) == ('blessed', 1)
    assert runner.pauses == [5, 10]


def test_metadata_that_stays_away_is_a_failed_tick(recipe, monkeypatch):
    monkeypatch.setattr(ticks, 'open_store', Away(None, *[MetadataError('no answer')] * 3))
    tick = retrain(recipe(attempts=3), Runner().tools)
    assert (tick.verdict, tick.exit_code, tick.attempts) == ('failed', 1, 3)
    assert tick.reason == 'no answer'


def test_data_that_cannot_be_used_is_a_failed_tick_that_says_what_to_do(recipe):
    tick = retrain(recipe(), Runner(DataError('cat.jpg is torn')).tools)
    assert tick.reason == 'cat.jpg is torn; nothing is trained until that is mended or removed'


def test_data_that_is_missing_is_a_failed_tick(recipe, tmp_path):
    (tmp_path / 'data').rename(tmp_path / 'elsewhere')
    runner = Runner()
    tick = retrain(recipe(), runner.tools)
    assert (tick.verdict, tick.exit_code) == ('failed', 1)
    assert 'does not exist' in tick.reason
    assert not runner.pauses


def test_a_bug_is_a_failed_tick_too(recipe):
    tick = retrain(recipe(), Runner(ZeroDivisionError('division by zero')).tools)
    assert (tick.verdict, tick.exit_code) == ('failed', 1)
    assert tick.reason == 'ZeroDivisionError: division by zero'


def test_a_run_by_hand_that_is_going_on_is_waited_for_until_the_next_tick(recipe):
    tick = retrain(recipe(), Runner(AlreadyRunning('another run of pets is going on')).tools)
    assert (tick.verdict, tick.exit_code) == ('skipped', 0)


def test_ticks_never_overlap(recipe, capsys):
    runner = Runner()
    with only_tick(recipe().home):
        tick = retrain(recipe(), runner.tools)
    assert (tick.verdict, tick.exit_code) == ('skipped', 0)
    assert tick.reason == 'another tick of pets is going on; this one is skipped'
    assert not runner.recipes


def test_ctrl_c_ends_it_cleanly(recipe):
    tick = retrain(recipe(), Runner(KeyboardInterrupt()).tools)
    assert (tick.verdict, tick.exit_code) == ('stopped', 130)


def test_sigterm_ends_it_cleanly(recipe):
    def terminated() -> Outcome:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        raise AssertionError('SIGTERM did not come')

    before = signal.getsignal(signal.SIGTERM)
    tick = retrain(recipe(), Runner(terminated).tools)
    assert (tick.verdict, tick.exit_code) == ('stopped', 143)
    assert signal.getsignal(signal.SIGTERM) == before
    with only_tick(recipe().home):  # its lock is free again
        pass


def test_the_lock_of_a_tick_that_was_killed_is_free(recipe):
    home = recipe().home
    hold = (
        'import sys, time; from pathlib import Path\n'
        'from pipeline.retraining.tick import only_tick\n'
        "with only_tick(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, '-c', hold, home]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == 'held\n'
        assert retrain(recipe(), Runner().tools).verdict == 'skipped'
        holder.kill()
    assert retrain(recipe(), Runner(outcome()).tools).verdict == 'blessed'


def test_the_tick_after_one_that_was_killed_takes_over(recipe, tmp_path):
    Journal(tmp_path / 'ticks.jsonl')
    recipe().home.mkdir(parents=True)
    Journal(recipe().home / 'ticks.jsonl').start(NOW)
    stream = io.StringIO()
    with console.output_to(stream):
        retrain(recipe(), Runner(outcome()).tools)
    assert 'was killed; taking over' in stream.getvalue()


def test_every_event_of_a_tick_is_a_line(recipe):
    retrain(recipe(), Runner(outcome()).tools)
    started, decided, ended = events(recipe())
    assert {started['tick'], decided['tick']} == {ended['tick']}
    assert (started['started'], started['pid']) == (NOW.isoformat(), os.getpid())
    assert (decided['train'], decided['spans']) == (True, [1])
    assert (ended['verdict'], ended['pushed_to']) == ('blessed', '/serving/7')


def test_the_tick_of_a_process_that_was_killed_gets_its_end(recipe):
    recipe().home.mkdir(parents=True)
    journal = Journal(recipe().home / 'ticks.jsonl')
    journal.start(NOW - HOUR, pid=1234)  # of another process, in a container that has gone
    tick = journal.start(NOW, pid=1234)
    journal.start(NOW, pid=99)
    noted = note_end(recipe(), 1234, NOW, **KILLED)
    assert (noted.tick, noted.verdict, noted.exit_code) == (tick, 'killed', 1)
    noted = note_end(recipe(), 77, NOW, **KILLED)  # killed before it noted itself
    assert (noted.pid, noted.started, noted.verdict) == (77, NOW, 'killed')


def test_a_tick_that_has_an_end_keeps_it(recipe):
    recipe().home.mkdir(parents=True)
    journal = Journal(recipe().home / 'ticks.jsonl')
    journal.start(NOW - HOUR, pid=1234)
    journal.start(NOW, pid=1234, verdict='blessed')
    before = events(recipe())
    assert note_end(recipe(), 1234, NOW, **KILLED) is None
    assert events(recipe()) == before


def test_a_workdir_that_cannot_be_written_is_told(recipe, tmp_path):
    (tmp_path / 'runs').write_text('a file')
    with pytest.raises(ConfigError, match=r'workdir .*pets cannot be used: '):
        retrain(recipe(), Runner().tools)


def test_the_webhook_hears_of_a_tick_that_failed_and_changes_nothing(recipe, monkeypatch):
    told = []
    monkeypatch.setattr(ticks, 'report', lambda *given: told.append(given) or 'nobody there')
    tick = retrain(recipe(webhook_env='HOOK', attempts=1), Runner(RunError('no space')).tools)
    ((variable, message),) = told
    assert variable == 'HOOK'
    assert message['recipe'] == 'pets'
    assert (message['verdict'], message['reason'], message['exit_code']) == (
        'failed',
        'no space',
        1,
    )
    assert (tick.exit_code, tick.webhook) == (1, 'nobody there')
    assert events(recipe())[-1]['webhook'] == 'nobody there'


def test_the_webhook_hears_nothing_of_a_tick_without_news(recipe, used, monkeypatch):
    monkeypatch.setattr(ticks, 'report', lambda *_: pytest.fail('told'))
    retrain(recipe(webhook_env='HOOK'), Runner().tools)


def test_a_failed_execution_is_no_use_of_a_span(recipe, recorder, monkeypatch):
    (span,) = open_window(recipe().data)
    recorder.run({1: span.source.fingerprint}, state=mlmd.Execution.FAILED)
    monkeypatch.setattr(ticks, 'open_store', lambda *_: recorder.store)
    assert retrain(recipe(), Runner(outcome()).tools).train
