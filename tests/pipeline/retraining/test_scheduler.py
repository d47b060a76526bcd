"""The local schedule, in fractions of seconds; ticks are shell scripts."""

import datetime
import io
import os
import signal
import threading
import time

import click.testing
import filelock
import pytest

from common import console
from common.errors import AlreadyRunning
from pipeline.config.recipe import Recipe
from pipeline.retraining import scheduler, tick
from pipeline.retraining.cron import parse_schedule
from pipeline.retraining.journal import Journal
from pipeline.retraining.scheduler import missed_since, run_schedule
from pipeline_runner import main

DAY = datetime.timedelta(days=1)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


class Times:
    """A schedule that fires some seconds from now, and then in ten days."""

    cron, timezone = 'fast', 'UTC'

    def __init__(self, *seconds: float) -> None:
        start = now()
        self._times = [start + datetime.timedelta(seconds=each) for each in seconds]

    def in_words(self) -> str:
        return 'soon'

    def after(self, moment: datetime.datetime) -> datetime.datetime:
        return next((each for each in self._times if each > moment), moment + 10 * DAY)

    def next_times(self, moment: datetime.datetime, count: int) -> list[datetime.datetime]:
        return [self.after(moment)] * count


@pytest.fixture
def recipe(tmp_path):
    recipe = Recipe(name='pets', workdir=tmp_path, retrain={'webhook_env': 'HOOK'})
    recipe.home.mkdir()
    return recipe


@pytest.fixture
def journal(recipe):
    return Journal(recipe.home / 'ticks.jsonl')


@pytest.fixture
def run(recipe, tmp_path):
    """Runs a schedule until a signal; returns its exit code, output and the lines in $LOG."""

    def call(schedule, script, seconds, number=signal.SIGTERM, grace=5.0):
        log = tmp_path / 'log'
        command = ['/bin/sh', '-c', f'LOG={log}; {script}']
        stream = io.StringIO()
        timer = threading.Timer(seconds, os.kill, [os.getpid(), number])
        timer.start()
        try:
            with console.output_to(stream):
                code = run_schedule(recipe, schedule, command, grace=grace)
        finally:
            timer.cancel()
            timer.join(5)
        lines = log.read_text().splitlines() if log.exists() else []
        return code, stream.getvalue(), lines

    return call


def test_starts_ticks_until_sigterm(run):
    code, output, log = run(Times(0.1, 0.4, 60), 'echo tick >> $LOG', 0.9)
    assert code == 0
    assert log == ['tick', 'tick']
    assert 'pets: soon; next ' in output
    assert 'tick ended with exit code 0' in output
    assert output.splitlines()[-1].endswith('SIGTERM: the schedule stops')


def test_ctrl_c_has_its_own_exit_code(run):
    assert run(Times(60), 'true', 0.2, signal.SIGINT)[0] == 130


def test_ticks_missed_during_a_tick_run_once(run):
    script = 'echo begin >> $LOG; sleep 0.5; echo end >> $LOG'
    _, _, log = run(Times(0.1, 0.2, 0.3, 0.4), script, 1.8)
    assert log == ['begin', 'end'] * 2


def test_ticks_missed_during_suspend_run_once(run, monkeypatch):
    suspended = threading.Event()

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.datetime.now(zone) + DAY * suspended.is_set()

    monkeypatch.setattr('apscheduler.schedulers.base.datetime', Clock)
    monkeypatch.setattr(scheduler, '_WAKE_SECONDS', 0.1)
    timer = threading.Timer(0.3, suspended.set)
    timer.start()
    _, _, log = run(Times(3600, 7200), 'echo tick >> $LOG', 1.0)
    timer.join(5)
    assert log == ['tick']


def test_tick_missed_before_the_start_runs_once(run, journal):
    journal.start(now() - 10 * DAY)
    _, output, log = run(parse_schedule('@daily'), 'echo tick >> $LOG', 0.6)
    assert log == ['tick']
    assert 'was missed; running it now' in output


def test_missed_tick_is_one_since_the_last_tick(tmp_path):
    schedule = parse_schedule('0 2 * * *')
    noon = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc)
    assert missed_since(tmp_path, schedule, noon) is None
    Journal(tmp_path / 'ticks.jsonl').start(noon)
    assert missed_since(tmp_path, schedule, noon + DAY / 4) is None
    assert missed_since(tmp_path, schedule, noon + 3 * DAY) == noon + DAY * 14 / 24


def test_failed_tick_is_recorded_and_posted(run, journal, monkeypatch):
    posted = []
    monkeypatch.setattr(tick, 'post_to_webhook', lambda _, message: posted.append(message))
    _, output, _ = run(Times(0.1, 0.4), 'exit 2', 0.9)
    assert 'tick ended with exit code 2' in output
    first, second = journal.ticks()
    assert (first.verdict, first.exit_code, second.verdict) == ('failed', 2, 'failed')
    assert first.reason.startswith('exit code 2 without a recorded result')
    assert [message['verdict'] for message in posted] == ['failed', 'failed']


def test_killed_tick_is_recorded(run, journal):
    _, output, log = run(Times(0.1, 0.4), 'echo tick >> $LOG; kill -9 $$', 0.9)
    assert log == ['tick', 'tick']
    assert 'tick was killed by SIGKILL; perhaps it ran out of memory' in output
    assert [(each.verdict, each.exit_code) for each in journal.ticks()] == [('killed', 1)] * 2


def test_unwritable_journal_does_not_stop_the_schedule(run, recipe):
    script = f'echo tick >> $LOG; mkdir -p {recipe.home}/ticks.jsonl; exit 2'
    _, output, log = run(Times(0.1, 0.4), script, 0.9)
    assert log == ['tick', 'tick']
    assert 'the result cannot be recorded: ' in output


def test_sigterm_is_sent_to_the_running_tick(run):
    script = "trap 'echo ended >> $LOG; exit 143' TERM; echo begin >> $LOG; sleep 9 & wait"
    code, output, log = run(Times(0.1), script, 0.6)
    assert code == 0
    assert log == ['begin', 'ended']
    assert 'stopping the tick, within 5 s' in output
    assert 'tick ended with exit code 143' in output


def test_tick_stopped_during_its_imports_is_stopped(run, journal):
    _, output, _ = run(Times(0.1), 'exec sleep 9', 0.5)
    assert 'tick was stopped by SIGTERM' in output
    (stopped,) = journal.ticks()
    assert (stopped.verdict, stopped.exit_code) == ('stopped', 143)


def test_tick_that_ignores_sigterm_is_killed(run, journal):
    script = "trap '' TERM; echo begin >> $LOG; exec sleep 9"
    start = time.monotonic()
    code, output, _ = run(Times(0.1), script, 0.4, grace=0.3)
    assert code == 0
    assert time.monotonic() - start < 5
    assert 'it did not stop; killing it' in output
    (killed,) = journal.ticks()
    assert killed.reason == 'killed by SIGKILL; it did not stop within 0.3 s'


def test_recipe_has_one_schedule(recipe):
    with (
        filelock.FileLock(recipe.home / '.schedule.lock'),
        pytest.raises(AlreadyRunning, match=r'a schedule of pets is already running in .*pets'),
    ):
        run_schedule(recipe, Times(60), ['false'])


def test_command_prints_no_schedule_if_it_cannot_start(recipe, tmp_path):
    command = ['schedule', '--engine', 'local', '--cron', '@daily', '--set', 'name=pets']
    (tmp_path / 'file').write_text('')
    with filelock.FileLock(recipe.home / '.schedule.lock'):
        for workdir, words in ((tmp_path, 'already'), (tmp_path / 'file', 'cannot be used')):
            options = [*command, '--workdir', str(workdir)]
            done = click.testing.CliRunner().invoke(main, options)
            assert done.exit_code == 2
            assert words in done.stderr
            assert done.stdout == ''
