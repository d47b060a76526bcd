"""The schedule of a recipe on this machine: a process in the foreground that starts its ticks."""

import contextlib
import datetime
import json
import logging
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from common.errors import AlreadyRunning
from pipeline.config.recipe import Recipe
from pipeline.retraining.cron import Schedule
from pipeline.retraining.journal import Journal
from pipeline.retraining.tick import FAILED, JOURNAL, TERMINATED, note_end

SCHEDULE, LOCK = 'schedule.json', '.schedule.lock'
GRACE_SECONDS = 25.0  # for a tick to end after SIGTERM; Kubernetes gives 30 by default
_LOOK_SECONDS = 30.0  # between two looks at the clock
_LOCK_SECONDS = 1.0  # `status` holds the lock for a moment
_STOPPED, _INTERRUPTED = 0, 130

_log = logging.getLogger(__name__)


class CronTrigger(BaseTrigger):
    """Fires when a schedule says; each time is counted from the last one, missed or not."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def get_next_fire_time(
        self, previous_fire_time: datetime.datetime | None, now: datetime.datetime
    ) -> datetime.datetime:
        return self._schedule.after(previous_fire_time or now)


class Ticker:
    """Starts ticks as processes of their own: their memory comes back, their crash ends nothing.

    Args:
        recipe: whose journal notes the end of a tick that could not.
        command: starts a tick.
        grace: seconds that a tick gets to end when it is stopped.
    """

    def __init__(self, recipe: Recipe, command: Sequence[str], grace: float) -> None:
        self._recipe = recipe
        self._command = command
        self._grace = grace
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._lock = threading.Lock()

    def tick(self) -> None:
        """Runs one tick to its end, and notes that if the tick did not."""
        say(f'tick of {self._recipe.name}')
        began = datetime.datetime.now(datetime.timezone.utc)
        child = self._start()
        if child is None:
            return
        code = child.wait()
        end = self._end(code)
        say(f'tick was {end["reason"]}' if code < 0 else f'tick ended with exit code {code}')
        if code == 0:
            return
        try:
            note_end(self._recipe, child.pid, began, **end)
        except OSError as error:  # which may be why the tick noted nothing
            say(f'that cannot be noted: {error}')

    def _end(self, code: int) -> dict[str, Any]:
        """What is to be noted of a tick that ended with a code and noted no end itself."""
        if self._stopping and code in (-signal.SIGTERM, TERMINATED):  # perhaps amid its imports
            return {'verdict': 'stopped', 'reason': 'stopped by SIGTERM', 'exit_code': TERMINATED}
        if code >= 0:
            reason = f'exit code {code}, and it noted no end; the output of the schedule says why'
            return {'verdict': 'failed', 'reason': reason, 'exit_code': code}
        reason = f'killed by {signal.Signals(-code).name}'
        if -code == signal.SIGKILL:
            forced = f'as it did not end within {self._grace:g} s'
            reason += f', {forced if self._stopping else "perhaps for want of memory"}'
        return {'verdict': 'killed', 'reason': reason, 'exit_code': FAILED}

    def _start(self) -> 'subprocess.Popen[bytes] | None':
        with self._lock:
            if not self._stopping:
                # In a session of its own Ctrl-C reaches the schedule alone, which stops the tick.
                self._child = subprocess.Popen(self._command, start_new_session=True)
            return None if self._stopping else self._child

    def stop(self) -> None:
        """Stops the tick that is going on, at last by force; none begins after this."""
        with self._lock:
            self._stopping = True
            child = self._child
        if child is None or child.poll() is not None:
            return
        say(f'stopping the tick, within {self._grace:g} s')
        child.terminate()
        try:
            child.wait(self._grace)
        except subprocess.TimeoutExpired:
            say('it did not end; killing it')
            child.kill()


def run_schedule(
    recipe: Recipe,
    schedule: Schedule,
    command: Sequence[str],
    *,
    grace: float = GRACE_SECONDS,
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.timezone.utc),
) -> int:
    """Starts ticks until SIGTERM or Ctrl-C comes.

    A time that comes while a tick goes on is made up once after it, and one that comes while the
    machine sleeps once within half a minute of its waking; the clock may be set, too. So is the
    last one before the start, if the journal knows of an earlier tick and of none since.

    Args:
        recipe: whose folder holds journal and lock.
        schedule: when.
        command: starts a tick.
        grace: seconds that a tick gets to end when the schedule is stopped.
        now: the time, for what was missed before the start.

    Returns:
        The exit code: 0 after SIGTERM, the usual end of a service; 130 after Ctrl-C.

    Raises:
        AlreadyRunning: the recipe has a schedule that is alive.
        OSError: the folder of the runs cannot be written.
    """
    with _only_schedule(recipe, schedule):
        ticker = Ticker(recipe, command, grace)
        scheduler = _scheduler(ticker, schedule, _first(recipe, schedule, now()))
        with _signals() as received:
            scheduler.start()
            with _woken(scheduler):
                number = received.get()
            say(f'{signal.Signals(number).name}: the schedule ends')
            ticker.stop()
            scheduler.shutdown()
    return _STOPPED if number == signal.SIGTERM else _INTERRUPTED


def _first(recipe: Recipe, schedule: Schedule, now: datetime.datetime) -> datetime.datetime:
    """When the first tick comes; says that, and the times after it."""
    times = [f'{each:%a %Y-%m-%d %H:%M %Z}' for each in schedule.next_times(now, 3)]
    say(f'{recipe.name}: {schedule.in_words()}; next {", ".join(times)}')
    missed = missed_since(recipe.home, schedule, now)
    if missed is None:
        return schedule.after(now)
    say(f'the tick of {missed:%Y-%m-%d %H:%M %Z} was missed; making up for it')
    return now


def missed_since(
    home: Path, schedule: Schedule, now: datetime.datetime
) -> datetime.datetime | None:
    """The first time of a schedule after the last tick that has passed already, if there is one."""
    ticks = Journal(home / JOURNAL).ticks()
    if not ticks:
        return None
    due = schedule.after(ticks[-1].started)
    return due if due <= now else None


def say(text: str) -> None:
    """A line with the time, for the log of the service."""
    now = datetime.datetime.now().astimezone()
    _log.info('%s %s', f'{now:%Y-%m-%d %H:%M:%S %Z}', text)


def _scheduler(ticker: Ticker, schedule: Schedule, first: datetime.datetime) -> BackgroundScheduler:
    # That executor works in the scheduler's own thread: ticks cannot overlap.
    scheduler = BackgroundScheduler(
        timezone=datetime.timezone.utc, executors={'default': DebugExecutor()}
    )
    scheduler.add_job(
        ticker.tick,
        CronTrigger(schedule),
        next_run_time=first,
        coalesce=True,
        misfire_grace_time=None,
        max_instances=1,
    )
    return scheduler


@contextlib.contextmanager
def _woken(scheduler: BackgroundScheduler) -> Iterator[None]:
    """Lets a scheduler look at the clock now and then."""
    # By itself it sleeps until the next tick, by a clock that stands still during a suspend.
    ended = threading.Event()

    def wake() -> None:
        while not ended.wait(_LOOK_SECONDS):
            scheduler.wakeup()

    thread = threading.Thread(target=wake, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _only_schedule(recipe: Recipe, schedule: Schedule) -> Iterator[None]:
    recipe.home.mkdir(parents=True, exist_ok=True)
    path = recipe.home / SCHEDULE
    try:
        with filelock.FileLock(recipe.home / LOCK, timeout=_LOCK_SECONDS):
            started = datetime.datetime.now(datetime.timezone.utc).isoformat()
            values = {
                'cron': schedule.cron,
                'timezone': schedule.timezone,
                'pid': os.getpid(),
                'started': started,
            }
            path.write_text(json.dumps(values))
            yield
    except filelock.Timeout:
        raise AlreadyRunning(
            f'{recipe.name} has a schedule already in {recipe.home}; stop that one first'
        ) from None


@contextlib.contextmanager
def _signals() -> 'Iterator[queue.SimpleQueue[int]]':
    """SIGTERM and SIGINT as they come; a SimpleQueue may be filled by a signal handler."""
    received: queue.SimpleQueue[int] = queue.SimpleQueue()
    numbers = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(each, lambda number, _: received.put(number)) for each in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
