"""The local schedule of a recipe: a process in the foreground that starts ticks in subprocesses."""

import contextlib
import datetime
import logging
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock
from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from pydantic import BaseModel

from common.errors import AlreadyRunning
from pipeline.config.recipe import Recipe
from pipeline.retraining.cron import Schedule
from pipeline.retraining.journal import Journal, Verdict
from pipeline.retraining.tick import FAILED, JOURNAL, TERMINATED, record_end

SCHEDULE, LOCK = 'schedule.json', '.schedule.lock'
GRACE_SECONDS = 25.0  # for a tick to end after SIGTERM; Kubernetes gives 30 by default
_WAKE_SECONDS = 30.0  # between two checks of the clock
_LOCK_SECONDS = 1.0  # `status` holds the lock for a moment
_STOPPED, _INTERRUPTED = 0, 130

_log = logging.getLogger(__name__)


class ScheduleFile(BaseModel):
    """The file that `status` reads: the schedule and the id of its process."""

    cron: str
    timezone: str
    pid: int


class CronTrigger(BaseTrigger):
    """APScheduler trigger with the times of a `Schedule`."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def get_next_fire_time(
        self, previous_fire_time: datetime.datetime | None, now: datetime.datetime
    ) -> datetime.datetime:
        return self._schedule.after(previous_fire_time or now)


class Ticker:
    """Runs ticks in subprocesses, so that neither their memory nor a crash affects the schedule.

    Args:
        recipe: its journal records the result of a tick that recorded none itself.
        command: starts a tick.
        grace: seconds between SIGTERM and SIGKILL when a tick is stopped.
    """

    def __init__(self, recipe: Recipe, command: Sequence[str], grace: float) -> None:
        self._recipe = recipe
        self._command = command
        self._grace = grace
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False
        self._lock = threading.Lock()

    def tick(self) -> None:
        """Runs one tick, and records its result if the tick recorded none."""
        say(f'tick of {self._recipe.name}')
        started = datetime.datetime.now(datetime.timezone.utc)
        child = self._start()
        if child is None:
            return
        code = child.wait()
        verdict, reason, exit_code = self._result(code)
        say(f'tick was {reason}' if code < 0 else f'tick ended with exit code {code}')
        if code == 0:
            return
        try:
            record_end(self._recipe, child.pid, started, verdict, reason, exit_code)
        except OSError as error:  # perhaps the reason why the tick recorded nothing
            say(f'the result cannot be recorded: {error}')

    def _result(self, code: int) -> tuple[Verdict, str, int]:
        """Verdict, reason and exit code for a tick that recorded no result."""
        if self._stopping and code in (-signal.SIGTERM, TERMINATED):  # perhaps during its imports
            return 'stopped', 'stopped by SIGTERM', TERMINATED
        if code >= 0:
            reason = f'exit code {code} without a recorded result; see the output of the schedule'
            return 'failed', reason, code
        reason = f'killed by {signal.Signals(-code).name}'
        if -code == signal.SIGKILL:
            after = f'it did not stop within {self._grace:g} s'
            reason += f'; {after if self._stopping else "perhaps it ran out of memory"}'
        return 'killed', reason, FAILED

    def _start(self) -> 'subprocess.Popen[bytes] | None':
        with self._lock:
            if not self._stopping:
                # With its own session the tick does not get Ctrl-C; the schedule stops it.
                self._child = subprocess.Popen(self._command, start_new_session=True)
            return None if self._stopping else self._child

    def stop(self) -> None:
        """Stops the running tick with SIGTERM, then SIGKILL; no tick starts after this."""
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
            say('it did not stop; killing it')
            child.kill()


def run_schedule(
    recipe: Recipe,
    schedule: Schedule,
    command: Sequence[str],
    *,
    grace: float = GRACE_SECONDS,
) -> int:
    """Starts ticks until SIGTERM or Ctrl-C.

    Missed ticks are made up for by one tick: right after the tick that was running, within half a
    minute after the machine was suspended or its clock was changed, and at the start if a time has
    passed since the last tick in the journal.

    Args:
        recipe: its folder holds the journal and the lock.
        schedule: times of the ticks.
        command: starts a tick.
        grace: seconds between SIGTERM and SIGKILL when a tick is stopped.

    Returns:
        The exit code: 0 after SIGTERM, 130 after Ctrl-C.

    Raises:
        AlreadyRunning: a schedule of the recipe is running.
        OSError: the folder of the runs cannot be written.
    """
    with _schedule_lock(recipe, schedule):
        ticker = Ticker(recipe, command, grace)
        scheduler = _scheduler(ticker, schedule, _first_time(recipe, schedule))
        with _signals() as received:
            scheduler.start()
            number = _wait(received, scheduler)
            say(f'{signal.Signals(number).name}: the schedule stops')
            ticker.stop()
            scheduler.shutdown()
    return _STOPPED if number == signal.SIGTERM else _INTERRUPTED


def _first_time(recipe: Recipe, schedule: Schedule) -> datetime.datetime:
    """Time of the first tick; prints the next times."""
    now = datetime.datetime.now(datetime.timezone.utc)
    times = [f'{each:%a %Y-%m-%d %H:%M %Z}' for each in schedule.next_times(now, 3)]
    say(f'{recipe.name}: {schedule.in_words()}; next {", ".join(times)}')
    missed = missed_since(recipe.home, schedule, now)
    if missed is None:
        return schedule.after(now)
    say(f'the tick of {missed:%Y-%m-%d %H:%M %Z} was missed; running it now')
    return now


def missed_since(
    home: Path, schedule: Schedule, now: datetime.datetime
) -> datetime.datetime | None:
    """The first scheduled time after the last tick in the journal, if it has passed."""
    ticks = Journal(home / JOURNAL).ticks()
    if not ticks:
        return None
    due = schedule.after(ticks[-1].started)
    return due if due <= now else None


def say(text: str) -> None:
    """Logs a line with the time."""
    now = datetime.datetime.now().astimezone()
    _log.info('%s %s', f'{now:%Y-%m-%d %H:%M:%S %Z}', text)


def _scheduler(ticker: Ticker, schedule: Schedule, first: datetime.datetime) -> BackgroundScheduler:
    # This executor runs jobs in the thread of the scheduler, so ticks cannot overlap.
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


def _wait(received: 'queue.SimpleQueue[int]', scheduler: BackgroundScheduler) -> int:
    """Waits for a signal, and makes the scheduler check the time regularly.

    By itself it sleeps until the next tick, on a clock that stops while the machine is suspended.
    """
    while True:
        with contextlib.suppress(queue.Empty):
            return received.get(timeout=_WAKE_SECONDS)
        scheduler.wakeup()


@contextlib.contextmanager
def _schedule_lock(recipe: Recipe, schedule: Schedule) -> Iterator[None]:
    recipe.home.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(recipe.home / LOCK, timeout=_LOCK_SECONDS):
            file = ScheduleFile(cron=schedule.cron, timezone=schedule.timezone, pid=os.getpid())
            (recipe.home / SCHEDULE).write_text(file.model_dump_json())
            yield
    except filelock.Timeout:
        raise AlreadyRunning(
            f'a schedule of {recipe.name} is already running in {recipe.home}; stop it first'
        ) from None


@contextlib.contextmanager
def _signals() -> 'Iterator[queue.SimpleQueue[int]]':
    """A queue of the received SIGTERM and SIGINT; SimpleQueue is safe in signal handlers."""
    received: queue.SimpleQueue[int] = queue.SimpleQueue()
    numbers = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(each, lambda number, _: received.put(number)) for each in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
