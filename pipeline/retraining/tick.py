"""One tick of the schedule: look for a reason to train, and if there is one, train."""

import contextlib
import dataclasses
import datetime
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import ml_metadata

from common.errors import (
    AlreadyRunning,
    ConfigError,
    DataError,
    MetadataError,
    PipelineError,
)
from pipeline.config.recipe import Recipe
from pipeline.formatting import time_of
from pipeline.local.run_recipe import lock_recipe, run
from pipeline.metadata_store import open_store
from pipeline.registry.leftovers import finish_pushes
from pipeline.retraining.decision import Decision, decide
from pipeline.retraining.journal import Journal, Tick
from pipeline.retraining.retries import Retries, errors_in
from pipeline.retraining.termination import Terminated, sigterm_raises
from pipeline.retraining.webhook import report

if TYPE_CHECKING:
    from pipeline.execution.outcome import Outcome

NORMAL, FAILED, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
JOURNAL, SUMMARIES, TICK_LOCK = 'ticks.jsonl', 'span_summaries.json', '.tick.lock'
_LOCK_SECONDS = 1.0  # `status` holds the lock for a moment
_TOLD = ('blessed', 'not blessed', 'unchanged', 'failed', 'killed')  # to the webhook

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Tools:
    """What a tick works with; tests give their own.

    Attributes:
        run: runs a recipe, as `pipeline.local.run_recipe.run`; None: that.
        now: the time, with a time zone.
        sleep: waits some seconds.
    """

    run: 'Callable[..., Outcome] | None' = None
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.timezone.utc)
    sleep: Callable[[float], None] = time.sleep


def retrain(recipe: Recipe, tools: Tools | None = None, *, verbose: bool = False) -> Tick:
    """Trains if there is a reason to, and pushes what is better than the live model.

    Everything but a folder that cannot be written ends as a tick with a verdict, a reason and an
    exit code: 0 blessed, not better, nothing new or skipped; 1 failed; 2 the recipe cannot be
    used; 130 and 143 stopped.

    Raises:
        ConfigError: the folder of the runs cannot be written.
    """
    tools = tools or Tools()
    journal = Journal(recipe.home / JOURNAL)
    try:
        with sigterm_raises():
            return _tell(recipe, journal, _locked_tick(recipe, journal, tools, verbose))
    except OSError as error:
        raise ConfigError(f'workdir {recipe.home} cannot be used: {error.strerror}') from error


@contextlib.contextmanager
def only_tick(home: Path) -> Iterator[None]:
    """Holds the lock of ticks, which ends with its process, however that ends.

    Raises:
        filelock.Timeout: a tick is going on.
    """
    home.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(home / TICK_LOCK, timeout=_LOCK_SECONDS):
        yield


def note_end(recipe: Recipe, pid: int, began: datetime.datetime, **end: Any) -> Tick | None:
    """Gives the tick of a process that has ended its end, and tells the webhook.

    Args:
        recipe: whose.
        pid: of the process; an earlier one may have had the same.
        began: a time before the process did.
        end: verdict, reason and exit code.

    Returns:
        The tick; None if it noted an end itself, which is left as it is.
    """
    journal = Journal(recipe.home / JOURNAL)
    own = [each for each in journal.ticks() if each.pid == pid and each.started >= began][-1:]
    if own and not own[0].open:
        return None
    tick = own[0].tick if own else journal.start(began, pid=pid)
    journal.note(tick, ended=Tools().now().isoformat(), **end)
    return _tell(recipe, journal, _read(journal, tick))


def _locked_tick(recipe: Recipe, journal: Journal, tools: Tools, verbose: bool) -> Tick:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(only_tick(recipe.home))
        except filelock.Timeout:
            reason = f'another tick of {recipe.name} is going on; this one is skipped'
            _log.info(reason)
            now = tools.now().isoformat()
            end = {'verdict': 'skipped', 'reason': reason, 'ended': now, 'exit_code': NORMAL}
            return _read(journal, journal.start(tools.now(), **end))
        before = [each for each in journal.ticks() if each.verdict != 'skipped'][-1:]
        if before and (before[0].open or before[0].verdict == 'killed'):
            _log.warning('the tick of %s was killed; taking over', time_of(before[0].started))
        tick = journal.start(tools.now())
        end = _end(recipe, journal, tick, tools, verbose)
        journal.note(tick, ended=tools.now().isoformat(), **end)
        return _read(journal, tick)


def _end(
    recipe: Recipe, journal: Journal, tick: str, tools: Tools, verbose: bool
) -> dict[str, Any]:
    """Does the work of a tick; gives verdict, reason, exit code and what else is known."""
    retries = Retries(recipe.retrain, tools.sleep)
    try:
        decision = retries.call(lambda: _decide(recipe, tools))
        values = dataclasses.asdict(decision)
        journal.note(tick, decision=values.pop('reason'), **values)
        _log.info(decision.reason)
        if not decision.train:
            return {'verdict': 'nothing new', 'reason': decision.reason, 'exit_code': NORMAL}
        return _train(recipe, tools, retries, verbose)
    except Terminated:
        return {'verdict': 'stopped', 'reason': 'stopped by SIGTERM', 'exit_code': TERMINATED}
    except KeyboardInterrupt:
        return {'verdict': 'stopped', 'reason': 'interrupted', 'exit_code': INTERRUPTED}
    except AlreadyRunning as error:
        reason = f'{error}; this tick is skipped'
        _log.info(reason)
        return {
            'verdict': 'skipped',
            'reason': reason,
            'exit_code': NORMAL,
            'attempts': retries.attempts,
        }
    except PipelineError as error:
        return {**_failure(error), 'attempts': retries.attempts}
    except Exception as error:  # whatever it is: the tick has an end, and says why
        reason = f'{type(error).__name__}: {error}'
        return {'verdict': 'failed', 'reason': reason, 'exit_code': FAILED}


def _failure(error: PipelineError) -> dict[str, Any]:
    found = list(errors_in(error))
    reason = str(error)
    if any(isinstance(each, DataError) for each in found):
        reason += '; nothing is trained until that is mended or removed'
    code = USAGE if any(isinstance(each, ConfigError) for each in found) else FAILED
    return {'verdict': 'failed', 'reason': reason, 'exit_code': code}


def _decide(recipe: Recipe, tools: Tools) -> Decision:
    store = open_store(recipe.metadata, recipe.home)
    try:
        # Else what a killed run has pushed already would count as never used, and train once more.
        with contextlib.suppress(AlreadyRunning), lock_recipe(recipe):
            finish_pushes(recipe, store)
        return decide(recipe, store, tools.now(), recipe.home / SUMMARIES)
    except ml_metadata.errors.StatusError as error:  # it has gone since it was opened
        raise MetadataError(f'the metadata cannot be read: {error}') from error


def _train(recipe: Recipe, tools: Tools, retries: Retries, verbose: bool) -> dict[str, Any]:
    recipe = recipe.for_retraining()
    run_recipe = tools.run or run
    outcome = retries.call(lambda: run_recipe(recipe, verbose=verbose))
    if outcome.blessed and outcome.unchanged:
        verdict, reason = 'unchanged', 'data and recipe give the model that is live'
    elif outcome.blessed:
        verdict, reason = 'blessed', f'pushed to {outcome.pushed_to}'
    else:
        verdict, reason = 'not blessed', f'the live model stays: {"; ".join(outcome.reasons)}'
    _log.info('this tick: %s; %s', verdict, reason)
    return {
        'verdict': verdict,
        'reason': reason,
        'exit_code': NORMAL,
        'run': outcome.run_id,
        'accuracy': outcome.accuracy,
        'previous_accuracy': outcome.previous_accuracy,
        'pushed_to': outcome.pushed_to,
        'attempts': retries.attempts,
    }


def _tell(recipe: Recipe, journal: Journal, tick: Tick) -> Tick:
    """Tells the webhook, if there is one; what it answers changes nothing but the journal."""
    variable = recipe.retrain.webhook_env
    if variable is None or tick.verdict not in _TOLD:
        return tick
    message = tick.model_dump(
        mode='json',
        include={
            'verdict',
            'accuracy',
            'previous_accuracy',
            'reason',
            'decision',
            'run',
            'spans',
            'pushed_to',
            'attempts',
            'exit_code',
            'started',
            'ended',
        },
    )
    problem = report(variable, {'recipe': recipe.name, **message})
    if problem is None:
        return tick
    _log.warning(problem)
    journal.note(tick.tick, webhook=problem)
    return tick.model_copy(update={'webhook': problem})


def _read(journal: Journal, tick: str) -> Tick:
    return next(each for each in journal.ticks() if each.tick == tick)
