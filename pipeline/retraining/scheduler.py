"""The local schedule of a recipe: a process in the foreground that starts ticks in subprocesses."""

import datetime
import logging
import signal
import subprocess
import time
from collections.abc import Sequence

from common.errors import FAILED, INTERRUPTED, AlreadyRunning, PipelineError
from common.files import locked
from pipeline.config.recipe import Recipe
from pipeline.execution.recipe_checks import check_data
from pipeline.retraining.cron import Schedule
from pipeline.retraining.webhook import post_result
from pipeline.run.record import last_tick, read_runs, utc_now
from pipeline.run.recording import Recording, new_run

LOCK = '.schedule.lock'
GRACE_SECONDS = 25.0  # for a tick to end after SIGINT; Kubernetes gives 30 by default
_PAUSE = 0.5  # seconds between two checks of the clock, a running tick, and signals

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
        PipelineError: the recipe or its data cannot be used.
        OSError: the folder of the runs cannot be written.
    """
    _check_data(recipe)
    held = f'a schedule of {recipe.name} is already running in {recipe.home}; stop it first'
    recipe.home.mkdir(parents=True, exist_ok=True)
    with locked(recipe.home / LOCK, AlreadyRunning(held)):
        signals: list[int] = []  # an exception could lose a tick that is just being started
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: signals.append(number))
        now = utc_now()
        last = last_tick(recipe.home, read_runs(recipe.home), now)
        due = schedule.after(last.started if last else now)
        _say(f'{recipe.name}: {schedule.in_words()}; next tick {due:%a %Y-%m-%d %H:%M %Z}')
        while not signals:
            if (now := utc_now()) < due:
                due = min(due, schedule.after(now))  # the clock may have been set back
                time.sleep(_PAUSE)
                continue
            due = schedule.after(now)
            _run_tick(recipe, command, signals)
            _say(f'next tick {due:%a %Y-%m-%d %H:%M %Z}')
    return INTERRUPTED if signals[0] == signal.SIGINT else 0


def _check_data(recipe: Recipe) -> None:
    """Checks the recipe and its data before a schedule waits for its first tick.

    An error that a tick may not have, such as of the network, is a warning.
    """
    try:
        check_data(recipe)
    except PipelineError as error:
        if not error.retryable:
            raise
        _log.warning('%s; the ticks try again', error)


def _run_tick(recipe: Recipe, command: Sequence[str], signals: Sequence[int]) -> None:
    """Runs a tick in a subprocess, so that neither its memory nor a crash affects the schedule."""
    _say(f'tick of {recipe.name}')
    started = utc_now()
    try:
        # With its own session the tick does not get Ctrl-C; the schedule stops it.
        child = subprocess.Popen(command, start_new_session=True)
    except OSError as error:  # such as for want of memory; the next tick may start
        _say(f'the tick cannot be started: {error.strerror}')
        return
    while child.poll() is None and not signals:
        time.sleep(_PAUSE)
    if child.poll() is None:
        _say(f'stopping the tick, within {GRACE_SECONDS:g} s; another Ctrl-C kills it')
        child.send_signal(signal.SIGINT)
        end = time.monotonic() + GRACE_SECONDS
        while child.poll() is None and len(signals) < 2 and time.monotonic() < end:
            time.sleep(_PAUSE)
        child.kill()
    code = child.wait()
    _say(f'tick ended with exit code {code}')
    if code and not signals:
        _record_failure(recipe, started, code)


def _record_failure(recipe: Recipe, started: datetime.datetime, code: int) -> None:
    """Records and posts the failure of a tick that was killed before it could do so."""
    last = last_tick(recipe.home, read_runs(recipe.home), utc_now())
    own = last if last and last.started >= started else None
    if own and own.ended:
        return
    reason = f'exit code {code} without a record; see the output of the schedule'
    if code == -signal.SIGKILL:
        reason = 'killed by SIGKILL; perhaps it ran out of memory'
    tick = own.with_values(result=None) if own else new_run(recipe, started, kind='tick')
    record = Recording(recipe.home, tick)
    record.end('failed', reasons=(reason,), exit_code=max(code, FAILED))
    _say(f'tick: {reason}')
    post_result(recipe, record)


def _say(text: str) -> None:
    _log.info('%s %s', f'{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}', text)
