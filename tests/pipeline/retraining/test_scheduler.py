"""The schedule in the foreground, in fractions of seconds; ticks are shell scripts."""

import datetime
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

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

REPOSITORY = Path(__file__).parents[3]
DAY = datetime.timedelta(days=1)
FAR = 10 * DAY


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
        return next((each for each in self._times if each > moment), moment + FAR)

    def next_times(self, moment: datetime.datetime, count: int) -> list[datetime.datetime]:
        return [self.after(moment)] * count


@pytest.fixture
def recipe(tmp_path):
    recipe = Recipe(name='pets', workdir=tmp_path, retrain={'webhook_env': 'HOOK'})
    recipe.home.mkdir()
    return recipe


@pytest.fixture
def play(recipe, tmp_path):
    """Runs a schedule until a signal comes; gives exit code, what it said, and the log of ticks.

    The script of a tick may write lines to $LOG.
    """

    def run(schedule, script, seconds, number=signal.SIGTERM, grace=5.0):
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

    return run


def test_it_ticks_at_its_times_until_it_is_stopped(play):
    code, said, log = play(Times(0.1, 0.4, 60), 'echo tick >> $LOG', 0.9)
    assert code == 0
    assert log == ['tick', 'tick']
    assert 'pets: soon; next ' in said
    assert 'tick ended with exit code 0' in said
    assert said.splitlines()[-1].endswith('SIGTERM: the schedule ends')


def test_ctrl_c_ends_it_with_its_own_code(play):
    assert play(Times(60), 'true', 0.2, signal.SIGINT)[0] == 130


def test_times_that_come_while_a_tick_goes_on_are_made_up_once(play):
    script = 'echo begin >> $LOG; sleep 0.5; echo end >> $LOG'
    _, _, log = play(Times(0.1, 0.2, 0.3, 0.4), script, 1.8)
    assert log == ['begin', 'end'] * 2


def test_a_time_that_comes_while_the_machine_sleeps_is_made_up_soon_after(play, monkeypatch):
    asleep = threading.Event()

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, zone=None):
            return datetime.datetime.now(zone) + DAY * asleep.is_set()

    monkeypatch.setattr('apscheduler.schedulers.base.datetime', Clock)
    monkeypatch.setattr(scheduler, '_LOOK_SECONDS', 0.1)
    timer = threading.Timer(0.3, asleep.set)
    timer.start()
    _, _, log = play(Times(3600, 7200), 'echo tick >> $LOG', 1.0)
    timer.join(5)
    assert log == ['tick']


def test_a_time_that_was_missed_before_the_start_is_made_up_once(play, recipe):
    Journal(recipe.home / 'ticks.jsonl').start(now() - 10 * DAY)
    _, said, log = play(parse_schedule('@daily'), 'echo tick >> $LOG', 0.6)
    assert log == ['tick']
    assert 'was missed; making up for it' in said


def test_nothing_is_made_up_where_nothing_ticked_before(play):
    assert play(parse_schedule('@daily'), 'echo tick >> $LOG', 0.4)[2] == []


def test_a_time_was_missed_if_it_passed_since_the_last_tick(tmp_path):
    schedule = parse_schedule('0 2 * * *')
    noon = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc)
    assert missed_since(tmp_path, schedule, noon) is None
    Journal(tmp_path / 'ticks.jsonl').start(noon)
    assert missed_since(tmp_path, schedule, noon + DAY / 4) is None
    assert missed_since(tmp_path, schedule, noon + 3 * DAY) == noon + DAY * 14 / 24


def test_a_tick_that_fails_does_not_end_the_schedule(play):
    _, said, log = play(Times(0.1, 0.4), 'echo tick >> $LOG; exit 1', 0.9)
    assert log == ['tick', 'tick']
    assert 'tick ended with exit code 1' in said


def test_a_tick_that_fails_before_it_notes_itself_is_noted_and_told(play, recipe, monkeypatch):
    told = []
    monkeypatch.setattr(tick, 'report', lambda _, message: told.append(message['verdict']))
    play(Times(0.1), 'exit 2', 0.5)
    (noted,) = Journal(recipe.home / 'ticks.jsonl').ticks()
    assert (noted.verdict, noted.exit_code) == ('failed', 2)
    assert noted.reason.startswith('exit code 2, and it noted no end')
    assert told == ['failed']


def test_a_tick_that_fails_where_nothing_can_be_noted_does_not_end_the_schedule(play, recipe):
    script = f'echo tick >> $LOG; mkdir -p {recipe.home}/ticks.jsonl; exit 2'
    _, said, log = play(Times(0.1, 0.4), script, 0.9)
    assert log == ['tick', 'tick']
    assert 'that cannot be noted: ' in said


def test_a_tick_that_is_killed_is_noted_and_does_not_end_the_schedule(play, recipe):
    _, said, log = play(Times(0.1, 0.4), 'echo tick >> $LOG; kill -9 $$', 0.9)
    assert log == ['tick', 'tick']
    assert 'tick was killed by SIGKILL, perhaps for want of memory' in said
    noted = Journal(recipe.home / 'ticks.jsonl').ticks()
    assert [(each.verdict, each.exit_code) for each in noted] == [('killed', 1)] * 2


def test_sigterm_is_passed_on_to_the_tick(play):
    script = "trap 'echo ended >> $LOG; exit 143' TERM; echo begin >> $LOG; sleep 9 & wait"
    code, said, log = play(Times(0.1), script, 0.6)
    assert code == 0
    assert log == ['begin', 'ended']
    assert 'stopping the tick, within 5 s' in said
    assert 'tick ended with exit code 143' in said


def test_a_tick_that_is_stopped_before_it_notes_itself_was_not_killed(play, recipe):
    _, said, _ = play(Times(0.1), 'exec sleep 9', 0.5)
    assert 'tick was stopped by SIGTERM' in said
    (noted,) = Journal(recipe.home / 'ticks.jsonl').ticks()
    assert (noted.verdict, noted.reason, noted.exit_code) == ('stopped', 'stopped by SIGTERM', 143)


def test_a_tick_that_does_not_end_is_killed(play, recipe):
    script = "trap '' TERM; echo begin >> $LOG; exec sleep 9"
    start = time.monotonic()
    code, said, _ = play(Times(0.1), script, 0.4, grace=0.3)
    assert code == 0
    assert time.monotonic() - start < 5
    assert 'it did not end; killing it' in said
    (noted,) = Journal(recipe.home / 'ticks.jsonl').ticks()
    assert noted.reason == 'killed by SIGKILL, as it did not end within 0.3 s'


def test_a_recipe_has_one_schedule(recipe, play):
    refused = []

    def second() -> None:
        with pytest.raises(AlreadyRunning, match=r'pets has a schedule already in .*pets; stop'):
            run_schedule(recipe, Times(60), ['false'])
        refused.append(True)

    thread = threading.Timer(0.2, second)
    thread.start()
    play(Times(60), 'true', 2.0)
    thread.join(5)
    assert refused


def test_a_schedule_says_that_it_runs_only_if_it_does(recipe, tmp_path):
    command = ['schedule', '--engine', 'local', '--cron', '@daily', '--set', 'name=pets']
    (tmp_path / 'file').write_text('')
    with filelock.FileLock(recipe.home / '.schedule.lock'):
        for workdir, words in ((tmp_path, 'already'), (tmp_path / 'file', 'cannot be used')):
            options = [*command, '--workdir', str(workdir)]
            done = click.testing.CliRunner().invoke(main, options)
            assert done.exit_code == 2
            assert words in done.stderr
            assert done.stdout == ''


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--cron', '0 2 * *'], "'0 2 * *' has 4 fields"),
        (['--cron', '@daily', '--timezone', 'Berlin'], 'use Europe/Berlin'),
        ([], '--cron is missing'),
    ],
)
def test_a_wrong_schedule_is_refused_by_the_command_line(tmp_path, options, message):
    command = [sys.executable, REPOSITORY / 'pipeline_runner.py', 'schedule', '--workdir', tmp_path]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert message in done.stderr
