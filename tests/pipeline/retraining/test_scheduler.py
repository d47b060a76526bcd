"""The local schedule: its times on a simulated clock, and ticks that are shell scripts."""

import concurrent.futures
import datetime
import io
import logging
import os
import signal

import click.testing
import pytest

from common import console
from common.errors import AlreadyRunning
from common.files import locked
from pipeline.config.recipe import Recipe
from pipeline.retraining import scheduler, start_check, tick
from pipeline.retraining.cron import Schedule, utc_now
from pipeline.retraining.journal import Journal
from pipeline.retraining.scheduler import run_schedule
from pipeline_runner import main

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def recipe(tmp_path):
    recipe = Recipe(name='pets', workdir=tmp_path, retrain={'webhook_env': 'HOOK'})
    recipe.home.mkdir()
    return recipe


@pytest.fixture
def journal(recipe):
    return Journal(recipe.home)


class Clock:
    """Stops the schedule after two days; `duration` and `suspended` are of the next tick, sleep."""

    def __init__(self) -> None:
        self.now = NOON
        self.ticks: list[datetime.datetime] = []
        self.duration = self.suspended = datetime.timedelta()

    def sleep(self, seconds: float) -> None:
        self.now += datetime.timedelta(seconds=seconds) + self.suspended
        self.suspended = datetime.timedelta()
        if self.now > NOON + 2 * DAY:
            os.kill(os.getpid(), signal.SIGTERM)

    def tick(self, *_) -> None:
        self.ticks.append(self.now)
        self.now += self.duration
        self.duration = datetime.timedelta()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(scheduler, 'utc_now', lambda: clock.now)
    monkeypatch.setattr(scheduler.time, 'sleep', clock.sleep)
    monkeypatch.setattr(scheduler, '_PAUSE', 60)
    monkeypatch.setattr(scheduler, '_run_tick', clock.tick)
    return clock


def hours_of_ticks(clock, recipe, cron='0 2 * * *') -> list[float]:
    """Hours from noon to each tick of a schedule."""
    assert run_schedule(recipe, Schedule(cron), ['tick']) == 0
    return [(each - NOON).total_seconds() / 3600 for each in clock.ticks]


def test_starts_a_tick_at_each_time(clock, recipe):
    assert hours_of_ticks(clock, recipe) == [14, 38]


def test_ticks_missed_during_a_tick_run_once(clock, recipe):
    clock.duration = DAY * 0.75
    assert hours_of_ticks(clock, recipe, '0 0,6 * * *') == [12, 30, 36, 42]


def test_ticks_missed_during_suspend_run_once(clock, recipe):
    clock.suspended = DAY * 1.75
    assert hours_of_ticks(clock, recipe) == [pytest.approx(42, abs=0.1)]


@pytest.mark.parametrize(('last', 'hours'), [(-3 * DAY, [0, 14, 38]), (300 * DAY, [14, 38])])
def test_tick_missed_before_the_start_runs_once(clock, recipe, journal, last, hours):
    journal.start(NOON + last)  # the clock was ahead if this is in the future
    assert hours_of_ticks(clock, recipe) == hours


def test_clock_that_is_set_back_delays_no_tick(clock, recipe, monkeypatch):
    clock.now = NOON + 365 * DAY
    sleep = clock.sleep

    def set_back(seconds):
        clock.now = min(clock.now, NOON)
        monkeypatch.setattr(scheduler.time, 'sleep', sleep)

    monkeypatch.setattr(scheduler.time, 'sleep', set_back)
    assert hours_of_ticks(clock, recipe) == [14, 38]


class Soon(Schedule):
    """A schedule with a time every few milliseconds."""

    def after(self, moment: datetime.datetime) -> datetime.datetime:
        return moment + datetime.timedelta(milliseconds=5)


SOON = Soon('* * * * *')


@pytest.fixture
def run(recipe, tmp_path, monkeypatch):
    """Runs ticks of a shell script until it stops the schedule; returns output and lines in $LOG.

    `STOP` in the script sends the schedule a signal.
    """

    monkeypatch.setattr(scheduler, '_PAUSE', 0.01)

    def call(script, number=signal.SIGTERM):
        script = script.replace('STOP', f'kill -{number.value} $PPID')
        command = ['/bin/sh', '-c', f'LOG={tmp_path}/log; {script}']
        stream = io.StringIO()
        with console.output_to(stream):
            code = run_schedule(recipe, SOON, command)
        assert code == (130 if number == signal.SIGINT else 0)
        return stream.getvalue(), (tmp_path / 'log').read_text().splitlines()

    return call


# The first tick of this script goes on with the rest of the script, the second one stops.
TWICE = 'echo tick >> $LOG; [ $(wc -l < $LOG) -lt 2 ] || { STOP; exec sleep 600; }; '


def test_starts_ticks_until_sigterm(run, journal):
    output, log = run(TWICE + 'exit 0')
    assert log == ['tick', 'tick']
    assert 'pets: Every minute (UTC); next ' in output
    assert 'tick ended with exit code 0' in output
    (stopped,) = journal.ticks()  # perhaps during its imports
    assert (stopped.verdict, stopped.exit_code) == ('stopped', 130)


def test_ctrl_c_stops_the_tick(run):
    script = "trap 'echo ended >> $LOG; exit 130' INT; STOP; while :; do sleep 0.1; done"
    output, log = run(script, signal.SIGINT)
    assert log == ['ended']
    assert 'stopping the tick, within 25 s' in output


def test_tick_that_ignores_sigint_is_killed(run, journal, monkeypatch):
    monkeypatch.setattr(scheduler, 'GRACE_SECONDS', 0.1)
    output, _ = run("trap '' INT; echo tick >> $LOG; STOP; exec sleep 600")
    assert 'it did not stop; killing it' in output
    (killed,) = journal.ticks()
    assert (killed.verdict, killed.reason) == ('killed', 'killed by SIGKILL')


@pytest.mark.parametrize(
    ('ending', 'verdict', 'code', 'reason'),
    [
        ('exit 2', 'failed', 2, 'exit code 2 without a recorded result'),
        ('kill -9 $$', 'killed', 1, 'killed by SIGKILL; perhaps it ran out of memory'),
    ],
)
def test_result_of_failed_tick_is_recorded_and_posted(
    run, journal, monkeypatch, ending, verdict, code, reason
):
    posted = []
    monkeypatch.setattr(tick, 'post_to_webhook', lambda _, message: posted.append(message))
    output, _ = run(TWICE + ending)
    first, _ = journal.ticks()
    assert (first.verdict, first.exit_code) == (verdict, code)
    assert first.reason.startswith(reason)
    assert reason in output
    assert [message['verdict'] for message in posted] == [verdict]


def test_only_a_tick_without_result_gets_one(run, recipe, journal):
    journal.start(utc_now() - DAY)  # of an earlier process, perhaps with the same id
    line = '{"tick":"2","started":"2100-01-01T00:00:00Z","pid":%s,"verdict":"blessed"}'
    record = f"printf '{line % '%s'}\\n' $$ >> {recipe.home}/ticks.jsonl; "
    run(f'{record} {TWICE} exit 1')
    earlier, own = journal.ticks()
    assert (earlier.verdict, own.verdict) == (None, 'blessed')


def test_unwritable_journal_does_not_stop_the_schedule(run, recipe):
    output, log = run(f'mkdir -p {recipe.home}/ticks.jsonl; {TWICE} exit 2')
    assert log == ['tick', 'tick']
    assert 'the result cannot be recorded: ' in output


@pytest.mark.parametrize(
    ('weights', 'classes', 'data', 'error'),
    [
        ('random', ('cats', 'dogs'), 'nowhere', 'nowhere does not exist'),
        ('random', ('cats',), 'data', 'has 1 class (cats); expected two or more'),
        ('none.weights.h5', ('cats', 'dogs'), 'data', 'none.weights.h5'),
        ('random', ('cats', 'dogs'), 'data', "'block_99'"),  # known to Keras only
    ],
)
def test_schedule_checks_data_weights_and_layers_before_it_waits(
    tmp_path, make_image_folder, monkeypatch, weights, classes, data, error
):
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=2, classes=classes)
    monkeypatch.setattr(scheduler, 'run_schedule', lambda *_: pytest.fail('it waits'))
    words = ['schedule', '--config', 'demo', '--cron', '0 0 * * *']
    words += ['--workdir', tmp_path / 'runs', '--data', tmp_path / data, '--weights', weights]
    if 'block_99' in error:
        words.append('--set=trainer.fine_tune={epochs: 1, from_layer: block_99}')

    done = click.testing.CliRunner().invoke(main, [*map(str, words)])

    assert done.exit_code == 2, done.output
    assert error in done.stderr
    assert done.stderr.count('\n') == 1


def test_prints_warnings_of_the_check_before_its_result(recipe, monkeypatch):
    threads = concurrent.futures.ThreadPoolExecutor  # in place of a subprocess
    monkeypatch.setattr(concurrent.futures, 'ProcessPoolExecutor', lambda n, _: threads(n))

    def check(_):
        logging.getLogger('pipeline.execution.recipe_checks').warning('other classes')
        return 'span 1 is new'

    monkeypatch.setattr(start_check, '_reason', check)
    stream = io.StringIO()
    with console.output_to(stream):
        start_check.check_before_schedule(recipe)

    assert stream.getvalue() == 'warning: other classes\nchecked: span 1 is new\n'


def test_recipe_has_one_schedule(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, 'LOCK_SECONDS', 0)
    monkeypatch.setattr(start_check, 'check_before_schedule', lambda recipe: None)
    words = ['schedule', '--cron', '0 0 * * *', '--set', 'name=pets']
    with locked(recipe.home / '.schedule.lock', AlreadyRunning()):
        with pytest.raises(
            AlreadyRunning, match=r'a schedule of pets is already running in .*pets'
        ):
            run_schedule(recipe, SOON, ['false'])
        done = click.testing.CliRunner().invoke(main, [*words, '--workdir', str(tmp_path)])
    assert (done.exit_code, done.stdout) == (2, '')
