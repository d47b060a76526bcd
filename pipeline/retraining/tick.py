"""One tick of the schedule: decides whether to train, and trains if there is a reason."""

import contextlib
import dataclasses
import datetime
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import filelock
import ml_metadata

from common.errors import AlreadyRunning, ConfigError, DataError, MetadataError, PipelineError
from pipeline.config.recipe import Recipe
from pipeline.formatting import time_of
from pipeline.local.run_recipe import lock_recipe, run
from pipeline.metadata_store import open_store
from pipeline.registry.leftovers import finish_pushes
from pipeline.retraining.decision import Decision, decide
from pipeline.retraining.journal import Journal, Tick, Verdict
from pipeline.retraining.retries import Retries, errors_in
from pipeline.retraining.termination import Terminated, sigterm_raises
from pipeline.retraining.webhook import post_to_webhook

if TYPE_CHECKING:
    from pipeline.execution.outcome import Outcome

NORMAL, FAILED, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
JOURNAL, TICK_LOCK = 'ticks.jsonl', '.tick.lock'
_LOCK_SECONDS = 1.0  # `status` holds the lock for a moment
_POSTED = ('blessed', 'not blessed', 'unchanged', 'failed', 'killed')  # verdicts for the webhook

_log = logging.getLogger(__name__)


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


@dataclasses.dataclass(frozen=True)
class Tools:
    """Dependencies of a tick, which tests replace.

    Attributes:
        run: runs a recipe.
        now: current time with a time zone.
        sleep: waits some seconds.
    """

    run: 'Callable[..., Outcome]' = run
    now: Callable[[], datetime.datetime] = _utc_now
    sleep: Callable[[float], None] = time.sleep


def retrain(recipe: Recipe, tools: Tools | None = None, *, verbose: bool = False) -> Tick:
    """Trains if there is a reason, and pushes a model that is better than the live one.

    Returns:
        The tick with its verdict, reason and exit code: 0 blessed, not blessed, nothing new or
        skipped; 1 failed; 2 the recipe cannot be used; 130 and 143 stopped.

    Raises:
        ConfigError: the folder of the runs cannot be written.
    """
    journal = Journal(recipe.home / JOURNAL)
    try:
        with sigterm_raises():
            tick = _run_tick(recipe, journal, tools or Tools(), verbose)
            return _post(recipe, journal, tick)
    except OSError as error:
        raise ConfigError(f'workdir {recipe.home} cannot be used: {error.strerror}') from error


@contextlib.contextmanager
def tick_lock(home: Path) -> Iterator[None]:
    """Holds the lock of ticks; it is released when the process ends, however it ends.

    Raises:
        filelock.Timeout: another tick is running.
    """
    home.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(home / TICK_LOCK, timeout=_LOCK_SECONDS):
        yield


def record_end(
    recipe: Recipe,
    pid: int,
    started: datetime.datetime,
    verdict: Verdict,
    reason: str,
    exit_code: int,
) -> Tick | None:
    """Records the result of a tick whose process has ended, and posts it to the webhook.

    Args:
        recipe: of the tick.
        pid: of the process; an earlier process may have had the same.
        started: a time before the start of the process.
        verdict: of the tick.
        reason: for the verdict.
        exit_code: of the process.

    Returns:
        The tick; None if it recorded a result itself, which stays unchanged.
    """
    journal = Journal(recipe.home / JOURNAL)
    own = [tick for tick in journal.ticks() if tick.pid == pid and tick.started >= started]
    tick = own[-1] if own else journal.start(started, pid=pid)
    if not tick.open:
        return None
    tick = tick.with_result(verdict, reason, exit_code, ended=_utc_now())
    journal.write(tick)
    return _post(recipe, journal, tick)


def _run_tick(recipe: Recipe, journal: Journal, tools: Tools, verbose: bool) -> Tick:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(tick_lock(recipe.home))
        except filelock.Timeout:
            reason = f'another tick of {recipe.name} is running; this one is skipped'
            _log.info(reason)
            now = tools.now()
            return journal.start(now, ended=now, verdict='skipped', reason=reason, exit_code=NORMAL)
        previous = [each for each in journal.ticks() if each.verdict != 'skipped'][-1:]
        if previous and (previous[0].open or previous[0].verdict == 'killed'):
            started = time_of(previous[0].started)
            _log.warning('the tick of %s was killed; this tick does its work', started)
        tick = _decide_and_train(recipe, journal, journal.start(tools.now()), tools, verbose)
        tick = tick.model_copy(update={'ended': tools.now()})
        journal.write(tick)
        return tick


def _decide_and_train(
    recipe: Recipe, journal: Journal, tick: Tick, tools: Tools, verbose: bool
) -> Tick:
    """The tick with its result; every exception becomes a verdict."""
    retries = Retries(recipe.retrain, tools.sleep)
    try:
        decision = retries.call(lambda: _decide(recipe, tools))
        values = dataclasses.asdict(decision)
        tick = tick.model_copy(update={**values, 'decision': decision.reason, 'reason': ''})
        journal.write(tick)
        _log.info(decision.reason)
        if not decision.train:
            return tick.with_result('nothing new', decision.reason, NORMAL)
        return _train(recipe, tick, tools, retries, verbose)
    except Terminated:
        return tick.with_result('stopped', 'stopped by SIGTERM', TERMINATED)
    except KeyboardInterrupt:
        return tick.with_result('stopped', 'interrupted', INTERRUPTED)
    except AlreadyRunning as error:
        reason = f'{error}; this tick is skipped'
        _log.info(reason)
        return tick.with_result('skipped', reason, NORMAL, attempts=retries.attempts)
    except PipelineError as error:
        reason, exit_code = _failure(error)
        return tick.with_result('failed', reason, exit_code, attempts=retries.attempts)
    except Exception as error:
        return tick.with_result('failed', f'{type(error).__name__}: {error}', FAILED)


def _failure(error: PipelineError) -> tuple[str, int]:
    """Reason and exit code of a tick that failed with this error."""
    chain = list(errors_in(error))
    reason = str(error)
    if any(isinstance(each, DataError) for each in chain):
        reason += '; no model is trained until the data is repaired or removed'
    return reason, USAGE if any(isinstance(each, ConfigError) for each in chain) else FAILED


def _decide(recipe: Recipe, tools: Tools) -> Decision:
    store = open_store(recipe.metadata, recipe.home)
    try:
        # Records pushes of killed runs; otherwise their spans would count as unused.
        with contextlib.suppress(AlreadyRunning), lock_recipe(recipe):
            finish_pushes(recipe, store)
        return decide(recipe, store, tools.now())
    except ml_metadata.errors.StatusError as error:  # the server went away after open_store
        raise MetadataError(f'the metadata cannot be read: {error}') from error


def _train(recipe: Recipe, tick: Tick, tools: Tools, retries: Retries, verbose: bool) -> Tick:
    recipe = recipe.for_retraining()
    outcome = retries.call(lambda: tools.run(recipe, verbose=verbose))
    verdict: Verdict
    if outcome.blessed and outcome.unchanged:
        verdict, reason = 'unchanged', 'data and recipe give the live model'
    elif outcome.blessed:
        verdict, reason = 'blessed', f'pushed to {outcome.pushed_to}'
    else:
        verdict, reason = 'not blessed', f'the live model stays: {"; ".join(outcome.reasons)}'
    _log.info('this tick: %s; %s', verdict, reason)
    return tick.with_result(
        verdict,
        reason,
        NORMAL,
        run=outcome.run_id,
        accuracy=outcome.accuracy,
        previous_accuracy=outcome.previous_accuracy,
        pushed_to=str(outcome.pushed_to) if outcome.pushed_to else None,
        attempts=retries.attempts,
    )


def _post(recipe: Recipe, journal: Journal, tick: Tick) -> Tick:
    """Posts the result to the webhook, if one is configured; an error is only recorded."""
    variable = recipe.retrain.webhook_env
    if variable is None or tick.verdict not in _POSTED:
        return tick
    result = tick.model_dump(mode='json', exclude={'tick', 'pid', 'train', 'new', 'webhook'})
    error = post_to_webhook(variable, {'recipe': recipe.name, **result})
    if error is None:
        return tick
    _log.warning(error)
    tick = tick.model_copy(update={'webhook': error})
    journal.write(tick)
    return tick
