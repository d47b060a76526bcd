"""The local schedule: its times on a simulated clock, and ticks that are shell scripts."""

import datetime
import io
import os
import signal

import click.testing
import pytest

from common import console
from common.errors import AlreadyRunning
from common.files import locked
from pipeline.config.recipe import Recipe
from pipeline.retraining import scheduler, webhook
from pipeline.retraining.cron import Schedule
from pipeline.retraining.scheduler import next_tick, run_schedule
from pipeline.run.record import LAST_TICK, last_tick, read_runs
from pipeline.run.recording import new_run
from pipeline_runner import main

NOON = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def recipe(tmp_path):
    recipe = Recipe(name='pets', workdir=tmp_path, retrain={'webhook_env': 'HOOK'})
    recipe.home.mkdir()
    return recipe


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
def test_tick_missed_before_the_start_runs_once(clock, recipe, last, hours):
    # The clock was ahead if this is in the future.
    tick = new_run(recipe, NOON + last).with_values(kind='tick')
    (recipe.home / LAST_TICK).write_text(tick.as_json())
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


def test_starts_ticks_until_sigterm(run, recipe):
    output, log = run(TWICE + 'exit 0')
    assert log == ['tick', 'tick']
    assert 'pets: Every minute (UTC); next ' in output
    assert 'tick ended with exit code 0' in output
    stopped = last_tick(recipe.home, [])  # perhaps during its imports
    assert (stopped.result, stopped.exit_code) == ('interrupted', 130)


def test_ctrl_c_stops_the_tick(run):
    script = "trap 'echo ended >> $LOG; exit 130' INT; STOP; while :; do sleep 0.1; done"
    output, log = run(script, signal.SIGINT)
    assert log == ['ended']
    assert 'stopping the tick, within 25 s' in output


@pytest.mark.parametrize(('grace', 'again'), [(0.1, ''), (600, 'STOP; ')])
def test_second_ctrl_c_or_the_end_of_the_grace_kills_the_tick(run, monkeypatch, grace, again):
    monkeypatch.setattr(scheduler, 'GRACE_SECONDS', grace)
    script = f"trap '{again}' INT; echo tick >> $LOG; STOP; while :; do sleep 0.1; done"
    output, _ = run(script.replace('STOP', 'kill -2 $PPID'), signal.SIGINT)
    assert 'killing the tick' in output
    assert 'exit code -9' in output


@pytest.mark.parametrize(
    ('ending', 'code', 'reason'),
    [
        ('exit 2', 2, 'exit code 2 without a record'),
        ('kill -9 $$', 1, 'killed by SIGKILL; perhaps it ran out of memory'),
    ],
)
@pytest.mark.parametrize('trains', [True, False])
def test_end_of_killed_tick_is_recorded_and_posted(
    run, recipe, monkeypatch, ending, code, reason, trains
):
    posted = []
    monkeypatch.setenv('HOOK', 'http://host')
    monkeypatch.setattr(webhook, '_post', lambda _, message: posted.append(message))
    record = new_run(recipe, NOON + 999 * DAY).with_values(kind='tick')
    path = 'runs/own.json' if trains else LAST_TICK
    record = record.with_values(id='own')
    command = (
        f"mkdir -p {recipe.home}/runs; echo '{record.model_dump_json()}' > '{recipe.home}/{path}'"
    )

    output, _ = run(f'{TWICE.replace("exec sleep 600", "exit 0")} {command}; {ending}')

    assert reason in output
    (message,) = posted
    assert (message['id'], message['result'], message['exit_code']) == ('own', 'failed', code)
    assert message['reasons'][0].startswith(reason)
    runs = read_runs(recipe.home)
    assert [each.result for each in runs] == (['failed'] if trains else [])


def test_tick_that_recorded_its_end_keeps_it(run, recipe):
    record = new_run(recipe, NOON + 999 * DAY)
    ended = record.with_values(id='own', kind='tick', result='blessed', ended=record.started)
    command = f"cd {recipe.home}; mkdir -p runs; echo '{ended.model_dump_json()}' > runs/own.json"
    run(f'{TWICE} {command}; exit 1')
    assert read_runs(recipe.home) == [ended]


def test_next_tick_is_that_of_a_running_schedule(recipe):
    assert next_tick(recipe.home) is None
    (recipe.home / 'schedule.json').write_text('{"cron": "0 2 * * *", "timezone": "UTC"}')
    assert next_tick(recipe.home) is None
    with locked(recipe.home / '.schedule.lock', AlreadyRunning()):
        assert next_tick(recipe.home).hour == 2


@pytest.mark.parametrize(
    ('weights', 'classes', 'data', 'error'),
    [
        ('random', ('cats', 'dogs'), 'nowhere', 'nowhere does not exist'),
        ('random', ('cats',), 'data', 'has 1 class (cats); expected two or more'),
        ('none.weights.h5', ('cats', 'dogs'), 'data', 'none.weights.h5'),
    ],
)
def test_schedule_checks_data_and_weights_before_it_waits(
    tmp_path, make_image_folder, monkeypatch, weights, classes, data, error
):
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=2, classes=classes)
    monkeypatch.setattr(scheduler, 'run_schedule', lambda *_: pytest.fail('it waits'))
    words = ['schedule', '--config', 'demo', '--cron', '0 0 * * *']
    words += ['--workdir', tmp_path / 'runs', '--data', tmp_path / data, '--weights', weights]

    done = click.testing.CliRunner().invoke(main, [*map(str, words)])

    assert done.exit_code == 2, done.output
    assert error in done.stderr
    assert done.stderr.count('\n') == 1


def test_schedule_of_live_model_waits_for_images(tmp_path, make_image_folder, caplog):
    make_image_folder(tmp_path / 'data' / 'span-1', per_class=0)
    data = {'source': 'folder', 'path': tmp_path / 'data', 'classes': ('cats', 'dogs')}
    recipe = Recipe(name='pets', workdir=tmp_path, data=data)
    (recipe.serving_directory / '1').mkdir(parents=True)
    scheduler.check_at_start(recipe)
    assert 'the ticks try again' in caplog.text


def test_recipe_has_one_schedule(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, '_LOCK_SECONDS', 0)
    monkeypatch.setattr(scheduler, 'check_at_start', lambda recipe: None)
    words = ['schedule', '--cron', '0 0 * * *', '--set', 'name=pets']
    with locked(recipe.home / '.schedule.lock', AlreadyRunning()):
        with pytest.raises(
            AlreadyRunning, match=r'a schedule of pets is already running in .*pets'
        ):
            run_schedule(recipe, SOON, ['false'])
        done = click.testing.CliRunner().invoke(main, [*words, '--workdir', str(tmp_path)])
    assert (done.exit_code, done.stdout) == (2, '')


def test_tick_that_cannot_start_does_not_end_the_schedule(recipe, monkeypatch):
    def refuse(*_, **__):
        raise OSError(12, 'Cannot allocate memory')

    monkeypatch.setattr(scheduler.subprocess, 'Popen', refuse)
    output = io.StringIO()
    with console.output_to(output):
        scheduler._run_tick(recipe, ['true'], [])
    assert 'the tick cannot be started: Cannot allocate memory' in output.getvalue()
