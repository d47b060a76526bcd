"""The local schedule of a recipe: a process in the foreground that starts ticks in subprocesses."""

import contextlib
import datetime
import logging
import signal
import subprocess
import time
import zoneinfo
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from common.errors import FAILED, INTERRUPTED, AlreadyRunning, PipelineError, TooFewImages
from common.files import is_locked, locked, read_regular, write_atomically
from components.pusher.serving_folder import versions_in
from pipeline.config.recipe import Recipe
from pipeline.execution.recipe_checks import check_data
from pipeline.retraining.cron import Schedule
from pipeline.retraining.webhook import post_result
from pipeline.run.record import last_tick, read_runs, utc_now
from pipeline.run.recording import Recording, new_run

SCHEDULE, LOCK = 'schedule.json', '.schedule.lock'
GRACE_SECONDS = 25.0  # for a tick to end after SIGINT; Kubernetes gives 30 by default
_LOCK_SECONDS = 1.0  # `runs` holds the lock for a moment
_PAUSE = 0.5  # seconds between two checks of the clock, a running tick, and signals
_SCHEDULE = TypeAdapter(Schedule)

_log = logging.getLogger(__name__)


def run_schedule(recipe: Recipe, schedule: Schedule, command: Sequence[str]) -> int:
    """Starts ticks in subprocesses until SIGTERM or Ctrl-C; a second one kills a running tick.

    Missed ticks are made up for by one tick: right after the tick that was running, after the
    machine was suspended or its clock was changed, and at the start if a time has passed since the
    last tick.

    Returns:
        The exit code: 0 after SIGTERM, 130 after Ctrl-C.

    Raises:
        AlreadyRunning: a schedule of the recipe is running.
        OSError: the folder of the runs cannot be written.
    """
    held = AlreadyRunning(
        f'a schedule of {recipe.name} is already running in {recipe.home}; stop it first'
    )
    recipe.home.mkdir(parents=True, exist_ok=True)
    lock = locked(recipe.home / LOCK, held, patience=_LOCK_SECONDS)
    with lock, _received_signals() as signals:
        write_atomically(recipe.home / SCHEDULE, _SCHEDULE.dump_json(schedule).decode())
        now = utc_now()
        times = [f'{each:%a %Y-%m-%d %H:%M %Z}' for each in schedule.next_times(now)]
        _say(f'{recipe.name}: {schedule.in_words()}; next {", ".join(times)}')
        last = last_tick(recipe.home, read_runs(recipe.home))
        # The last tick may be in the future, if the clock was ahead.
        due = schedule.after(min(last.started, now) if last else now)
        if due <= now:
            _say(f'the tick of {due:%Y-%m-%d %H:%M %Z} was missed; running it now')
        while not signals:
            if (now := utc_now()) < due:
                due = min(due, schedule.after(now))  # the clock may have been set back
                time.sleep(_PAUSE)
                continue
            due = schedule.after(now)
            _run_tick(recipe, command, signals)
    return INTERRUPTED if signals[0] == signal.SIGINT else 0


def check_at_start(recipe: Recipe) -> None:
    """Checks the recipe and its data before a schedule waits for its first tick.

    An error that a tick may not have is a warning: the server may answer, and once a model is live
    more images may come.

    Raises:
        PipelineError: the recipe or its data cannot be used.
    """
    try:
        check_data(recipe)
    except PipelineError as error:
        waits = isinstance(error, TooFewImages) and versions_in(recipe.serving_directory)
        if not (error.retryable or waits):
            raise
        _log.warning('%s; the ticks try again', error)


def next_tick(home: Path) -> datetime.datetime | None:
    """The time of the next tick of a schedule that runs on this machine; None without one."""
    if not is_locked(home / LOCK):
        return None
    try:
        return _SCHEDULE.validate_json(read_regular(home / SCHEDULE)).after(utc_now())
    except (FileNotFoundError, ValidationError, zoneinfo.ZoneInfoNotFoundError):
        return None


def _run_tick(recipe: Recipe, command: Sequence[str], signals: Sequence[int]) -> None:
    """Runs a tick in a subprocess, so that neither its memory nor a crash affects the schedule."""
    _say(f'tick of {recipe.name}')
    started = utc_now()
    # With its own session the tick does not get Ctrl-C; the schedule stops it.
    try:
        child = subprocess.Popen(command, start_new_session=True)
    except OSError as error:  # such as for want of memory; the next tick may start
        _say(f'the tick cannot be started: {error.strerror}')
        return
    while child.poll() is None and not signals:
        time.sleep(_PAUSE)
    if stopped := child.poll() is None:
        _stop(child, signals)
    _say(f'tick ended with exit code {child.returncode}')
    if child.returncode:
        _record_end(recipe, started, child.returncode, stopped=stopped)


def _stop(child: 'subprocess.Popen[bytes]', signals: Sequence[int]) -> None:
    _say(f'stopping the tick, within {GRACE_SECONDS:g} s; another Ctrl-C kills it')
    child.send_signal(signal.SIGINT)
    end = time.monotonic() + GRACE_SECONDS
    while child.poll() is None and len(signals) < 2 and time.monotonic() < end:
        time.sleep(_PAUSE)
    if child.poll() is None:
        _say('killing the tick')
        child.kill()
    child.wait()


def _record_end(recipe: Recipe, started: datetime.datetime, code: int, *, stopped: bool) -> None:
    """Records and posts the end of a tick that did not record it."""
    last = last_tick(recipe.home, read_runs(recipe.home))
    own = last if last and last.started >= started else None
    if own and own.ended:
        return
    if stopped:
        reason = 'the schedule was stopped'
    elif code > 0:
        reason = f'exit code {code} without a record; see the output of the schedule'
    else:
        hint = '; perhaps it ran out of memory' if code == -signal.SIGKILL else ''
        reason = f'killed by {signal.Signals(-code).name}{hint}'
    tick = own or new_run(recipe, started).with_values(kind='tick')
    record = Recording(recipe.home, tick.with_values(result=None))
    _say(f'tick: {reason}')
    run = record.end(
        'interrupted' if stopped else 'failed',
        reasons=(reason,),
        exit_code=INTERRUPTED if stopped else max(code, FAILED),  # negative: killed by a signal
    )
    if problem := post_result(recipe, run):
        _say(problem)
        record.add(webhook_error=problem)


def _say(text: str) -> None:
    _log.info('%s %s', f'{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}', text)


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
