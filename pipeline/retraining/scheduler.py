"""The local schedule of a recipe: a process in the foreground that starts ticks in subprocesses."""

import contextlib
import datetime
import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from common.errors import FAILED, INTERRUPTED, AlreadyRunning
from common.files import locked, write_atomically
from pipeline.config.recipe import Recipe
from pipeline.retraining.cron import Schedule, utc_now
from pipeline.retraining.journal import Journal, Verdict
from pipeline.retraining.tick import LOCK_SECONDS, post_result

SCHEDULE, LOCK = 'schedule.json', '.schedule.lock'
GRACE_SECONDS = 25.0  # for a tick to end after SIGINT; Kubernetes gives 30 by default
_PAUSE = 1.0  # seconds between two checks of the clock, a running tick, and signals

_log = logging.getLogger(__name__)


class ScheduleFile(BaseModel):
    """The file that `status` reads: the schedule and the id of its process."""

    schedule: Schedule
    pid: int


def run_schedule(recipe: Recipe, schedule: Schedule, command: Sequence[str]) -> int:
    """Starts ticks in subprocesses until SIGTERM or Ctrl-C.

    Missed ticks are made up for by one tick: right after the tick that was running, after the
    machine was suspended or its clock was changed, and at the start if a time has passed since the
    last tick in the journal.

    Returns:
        The exit code: 0 after SIGTERM, 130 after Ctrl-C.

    Raises:
        AlreadyRunning: a schedule of the recipe is running.
        OSError: the folder of the runs cannot be written.
    """
    with _schedule_lock(recipe, schedule), _received_signals() as signals:
        now = utc_now()
        times = [f'{each:%a %Y-%m-%d %H:%M %Z}' for each in schedule.next_times(now)]
        _say(f'{recipe.name}: {schedule.in_words()}; next {", ".join(times)}')
        ticks = Journal(recipe.home).ticks()
        last = ticks[-1].started if ticks else now
        due = schedule.after(min(last, now))  # the clock may have been ahead
        if due <= now:
            _say(f'the tick of {due:%Y-%m-%d %H:%M %Z} was missed; running it now')
        while not signals:
            if (now := utc_now()) < due:
                due = min(due, schedule.after(now))  # the clock may have been set back
                time.sleep(_PAUSE)
                continue
            due = schedule.after(utc_now())
            _run_tick(recipe, command, signals)
    return INTERRUPTED if signals[0] == signal.SIGINT else 0


def _run_tick(recipe: Recipe, command: Sequence[str], signals: Sequence[int]) -> None:
    """Runs a tick in a subprocess, so that neither its memory nor a crash affects the schedule."""
    _say(f'tick of {recipe.name}')
    started = utc_now()
    # With its own session the tick does not get Ctrl-C; the schedule stops it.
    child = subprocess.Popen(command, start_new_session=True)
    while child.poll() is None and not signals:
        time.sleep(_PAUSE)
    if child.poll() is None:
        _stop(child)
    _say(f'tick ended with exit code {child.wait()}')
    _record(recipe, child, started, stopped=bool(signals))


def _stop(child: 'subprocess.Popen[bytes]') -> None:
    _say(f'stopping the tick, within {GRACE_SECONDS:g} s')
    child.send_signal(signal.SIGINT)
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _say('it did not stop; killing it')
        child.kill()


def _record(
    recipe: Recipe, child: 'subprocess.Popen[bytes]', started: datetime.datetime, *, stopped: bool
) -> None:
    """Records and posts the result of a tick that recorded none itself."""
    code = child.returncode
    verdict: Verdict
    if code == 0:
        return
    if stopped and code in (-signal.SIGINT, INTERRUPTED):  # perhaps during its imports
        verdict, reason, exit_code = 'stopped', 'interrupted', INTERRUPTED
    elif code > 0:
        verdict, exit_code = 'failed', code
        reason = f'exit code {code} without a recorded result; see the output of the schedule'
    else:
        verdict, exit_code = 'killed', FAILED
        hint = '; perhaps it ran out of memory' if code == -signal.SIGKILL and not stopped else ''
        reason = f'killed by {signal.Signals(-code).name}{hint}'
    try:
        journal = Journal(recipe.home)
        # An earlier process may have had the same id; a process may end before it records itself.
        own = [tick for tick in journal.ticks() if tick.pid == child.pid and tick.started > started]
        tick = own[-1] if own else journal.start(started, pid=child.pid)
        if tick.verdict is None:
            tick = tick.with_result(verdict, reason, exit_code, ended=utc_now())
            journal.write(tick)
            _say(f'tick {verdict}: {reason}')
            post_result(recipe, journal, tick)
    except OSError as error:  # perhaps the reason why the tick recorded nothing
        _say(f'the result cannot be recorded: {error}')


def _say(text: str) -> None:
    _log.info('%s %s', f'{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}', text)


@contextlib.contextmanager
def _schedule_lock(recipe: Recipe, schedule: Schedule) -> Iterator[None]:
    recipe.home.mkdir(parents=True, exist_ok=True)
    held = AlreadyRunning(
        f'a schedule of {recipe.name} is already running in {recipe.home}; stop it first'
    )
    with locked(recipe.home / LOCK, held, patience=LOCK_SECONDS):
        file = ScheduleFile(schedule=schedule, pid=os.getpid())
        write_atomically(recipe.home / SCHEDULE, file.model_dump_json())
        yield


@contextlib.contextmanager
def _received_signals() -> Iterator[list[int]]:
    """Collects SIGTERM and SIGINT; an exception could lose a tick that is just being started."""
    received: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(each, lambda number, _: received.append(number)) for each in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
