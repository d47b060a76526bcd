"""The local schedule: its times on a simulated clock, and ticks that are shell scripts."""

import datetime
import io
import os
import signal

import pytest

from common import console
from common.errors import AlreadyRunning, DataError
from common.files import locked
from pipeline.config.recipe import Recipe
from pipeline.retraining import scheduler, webhook
from pipeline.retraining.cron import Schedule
from pipeline.retraining.scheduler import run_schedule
from pipeline.run.record import LAST_TICK, find_run, write_run
from pipeline.run.recording import new_run

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


@pytest.fixture(autouse=True)
def _signals():
    """Restores the handlers of signals, which a schedule keeps until its process ends."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def recipe(tmp_path):
    keys = {'data': {'source': 'drawings'}, 'trainer': {'weights': 'random'}}
    recipe = Recipe(name='pets', workdir=tmp_path, retrain={'webhook_env': 'HOOK'}, **keys)
    recipe.home.mkdir()
    return recipe


class Clock:
    """Ends the schedule after two days; `duration` is of the next tick, `leap` of a sleep."""

    def __init__(self) -> None:
        self.now = NOON
        self.ticks: list[datetime.datetime] = []
        self.duration = self.leap = datetime.timedelta()

    def sleep(self, seconds: float) -> None:
        self.now += datetime.timedelta(seconds=seconds) + self.leap
        self.leap = datetime.timedelta()
        if self.now > NOON + 2 * DAY:
            os.kill(os.getpid(), signal.SIGTERM)

    def tick(self, *_) -> None:
        self.ticks.append(self.now)
        self.now += self.duration
        self.duration = datetime.timedelta()


@pytest.mark.parametrize(
    ('cron', 'state', 'last', 'hours'),
    [
        ('0 2 * * *', {}, None, [14, 38]),
        ('0 0,6 * * *', {'duration': DAY * 0.75}, None, [12, 30, 36, 42]),
        ('0 2 * * *', {'leap': DAY * 1.75}, None, [42]),  # the machine was suspended
        ('0 2 * * *', {}, -3 * DAY, [0, 14, 38]),
        ('0 2 * * *', {}, 300 * DAY, [14, 38]),  # the clock was ahead
        ('0 2 * * *', {'now': NOON + 1.9 * DAY, 'leap': -1.9 * DAY}, None, [14, 38]),  # set back
    ],
)
def test_starts_a_tick_at_each_time_and_one_for_all_missed(
    recipe, monkeypatch, cron, state, last, hours
):
    clock = Clock()
    vars(clock).update(state)
    monkeypatch.setattr(scheduler, 'utc_now', lambda: clock.now)
    monkeypatch.setattr(scheduler.time, 'sleep', clock.sleep)
    monkeypatch.setattr(scheduler, '_PAUSE', 60)
    monkeypatch.setattr(scheduler, '_run_tick', clock.tick)
    if last:
        write_run(recipe.home, new_run(recipe, NOON + last, kind='tick'), LAST_TICK)

    assert run_schedule(recipe, Schedule(cron), ['tick']) == 0

    found = [(each - NOON).total_seconds() / 3600 for each in clock.ticks]
    assert found == pytest.approx(hours, abs=0.1)


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


def test_starts_ticks_until_sigterm(run):
    output, log = run('echo tick >> $LOG; [ $(wc -l < $LOG) -lt 2 ] || { STOP; exec sleep 600; }')
    assert log == ['tick', 'tick']
    assert 'tick ended with exit code 0' in output


@pytest.mark.parametrize(
    ('trap', 'grace', 'code'),
    [('exit 130', 600, 130), ('', 0.1, -9), ('kill -2 $PPID', 600, -9)],
    ids=['tick ends', 'end of the grace', 'second Ctrl-C'],
)
def test_ctrl_c_stops_the_tick_and_a_second_one_kills_it(run, monkeypatch, trap, grace, code):
    monkeypatch.setattr(scheduler, 'GRACE_SECONDS', grace)
    script = f"trap '{trap}' INT; echo tick >> $LOG; STOP; while :; do sleep 0.1; done"
    output, log = run(script, signal.SIGINT)
    assert f'tick ended with exit code {code}\n' in output
    assert log == ['tick']


@pytest.mark.parametrize('path', ['runs/own.json', LAST_TICK])
@pytest.mark.parametrize(
    ('ending', 'result', 'code', 'reason'),
    [
        ('exit 2', None, 2, 'exit code 2 without a record'),
        ('kill -9 $$', None, 1, 'killed by SIGKILL; perhaps it ran out of memory'),
        ('exit 1', 'failed', None, None),
    ],
)
def test_failure_that_the_tick_did_not_record_is_recorded_and_posted(
    recipe, monkeypatch, path, ending, result, code, reason
):
    posted = []
    monkeypatch.setenv('HOOK', 'http://host')
    monkeypatch.setattr(webhook, '_post', lambda _, message: posted.append(message))
    monkeypatch.setattr(scheduler, 'utc_now', lambda: NOON)
    monkeypatch.setattr(scheduler, '_PAUSE', 0.01)
    for name, started, file in (('own', NOON, path), ('ahead', NOON + 999 * DAY, None)):
        values = {'id': name, 'kind': 'tick', 'result': result, 'ended': result and started}
        write_run(recipe.home, new_run(recipe, started, **values), file)

    scheduler._run_tick(recipe, ['/bin/sh', '-c', ending], [])

    assert find_run(recipe.home, 'own').result == 'failed'
    assert [(each['id'], each['exit_code']) for each in posted] == [('own', code)] * (not result)
    assert all(each['reasons'][0].startswith(reason) for each in posted)


def test_tick_that_cannot_start_does_not_end_the_schedule(recipe, monkeypatch):
    def refuse(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)
        raise OSError(12, 'Cannot allocate memory')

    monkeypatch.setattr(scheduler.subprocess, 'Popen', refuse)
    assert run_schedule(recipe, SOON, ['true']) == 0


def test_checks_data_before_it_waits(tmp_path):
    data = {'source': 'folder', 'path': tmp_path / 'data'}
    recipe = Recipe(name='pets', workdir=tmp_path, data=data, trainer={'weights': 'random'})
    with pytest.raises(DataError):
        run_schedule(recipe, SOON, ['true'])


def test_schedule_starts_although_the_data_cannot_be_reached(recipe, monkeypatch, caplog):
    def fail(_):
        raise DataError('no answer', retryable=True)

    monkeypatch.setattr(scheduler, 'check_data', fail)
    monkeypatch.setattr(scheduler, '_run_tick', lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert run_schedule(recipe, SOON, ['true']) == 0
    assert 'no answer' in caplog.text


def test_recipe_has_one_schedule(recipe):
    with (
        locked(recipe.home / scheduler.LOCK, AlreadyRunning()),
        pytest.raises(AlreadyRunning, match='a schedule of pets is already running'),
    ):
        run_schedule(recipe, SOON, ['false'])
