"""One tick of the schedule: decides whether to train, and trains if there is a reason."""

import dataclasses
import datetime
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import tenacity

from common.errors import (
    FAILED,
    INTERRUPTED,
    USAGE,
    AlreadyRunning,
    ConfigError,
    PipelineError,
    TooFewImages,
)
from common.files import locked
from components.pusher.serving_folder import live_classes, versions_in
from pipeline.command_line import CommandLine
from pipeline.config.recipe import Recipe
from pipeline.config.retraining import RetrainConfig
from pipeline.local.run_recipe import run
from pipeline.metadata_store import open_store, reporting_errors
from pipeline.registry.provenance import Provenance
from pipeline.retraining.cron import utc_now
from pipeline.retraining.decision import Decision, decide, describe_waiting
from pipeline.retraining.journal import Journal, Tick, Verdict
from pipeline.retraining.webhook import post_to_webhook

if TYPE_CHECKING:
    from pipeline.execution.outcome import Outcome

TICK_LOCK = '.tick.lock'
LOCK_SECONDS = 1.0  # `status` holds a lock for a moment
_POSTED = ('blessed', 'not blessed', 'unchanged', 'failed', 'killed')  # verdicts for the webhook

_log = logging.getLogger(__name__)


def retrain(
    recipe: Recipe,
    *,
    now: datetime.datetime | None = None,
    verbose: bool = False,
    commands: CommandLine | None = None,
) -> Tick:
    """Trains if there is a reason, and pushes a model that the gate blesses.

    `commands` are for the report of the run.

    Returns:
        The tick; exit code 1 if the run failed, 2 if the recipe cannot be used, 130 if interrupted.

    Raises:
        OSError: the folder of the runs cannot be written.
    """
    journal, now = Journal(recipe.home), now or utc_now()
    recipe.home.mkdir(parents=True, exist_ok=True)
    held = AlreadyRunning(f'another tick of {recipe.name} is running; this one is skipped')
    try:
        with locked(recipe.home / TICK_LOCK, held, patience=LOCK_SECONDS):
            tick = _decide_and_train(recipe, journal, journal.start(now), verbose, commands)
            tick = tick.model_copy(update={'ended': utc_now()})
            journal.write(tick)
    except AlreadyRunning as error:
        tick = journal.start(now, ended=now, verdict='skipped', reason=str(error), exit_code=0)
    if not tick.exit_code:
        result = f'{tick.verdict}: {tick.reason}' if tick.train else tick.reason
        _log.info(result, extra={'always': True})
    return post_result(recipe, journal, tick)


def post_result(recipe: Recipe, journal: Journal, tick: Tick) -> Tick:
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


def _decide_and_train(
    recipe: Recipe, journal: Journal, tick: Tick, verbose: bool, commands: CommandLine | None
) -> Tick:
    """The tick with its result; every exception becomes a verdict."""
    attempts = retrying(recipe.retrain)
    try:
        recipe, decision = attempts(_decide, recipe, tick.started)
        values = dataclasses.asdict(decision)
        tick = tick.model_copy(update={**values, 'decision': decision.reason, 'reason': ''})
        journal.write(tick)
        if not decision.train:
            return tick.with_result('nothing new', decision.reason, 0)
        _log.info(decision.reason)
        outcome = attempts(run, recipe.for_retraining(), verbose=verbose, commands=commands)
        tick = with_outcome(tick, outcome)
    except KeyboardInterrupt:
        tick = tick.with_result('stopped', 'interrupted', INTERRUPTED)
    except AlreadyRunning as error:
        tick = tick.with_result('skipped', f'{error}; this tick is skipped', 0)
    except PipelineError as error:
        tick = _with_error(recipe, tick, error)
    except Exception as error:
        tick = tick.with_result('failed', f'{type(error).__name__}: {error}', FAILED)
    return tick.model_copy(update={'attempts': attempts.statistics.get('attempt_number', 0)})


def _with_error(recipe: Recipe, tick: Tick, error: PipelineError) -> Tick:
    """A copy of the tick with its error; once a model is live, a new newest span waits for more."""
    causes = list(_chain(error))
    shortage = next((each for each in causes if isinstance(each, TooFewImages)), None)
    is_new = bool(tick.new) and tick.new[-1:] == tick.spans[-1:]
    if shortage and is_new and versions_in(recipe.serving_directory):
        reason = describe_waiting(tick.new[-1], shortage)
        return tick.with_result('nothing new', reason, 0, train=False)
    unusable = any(isinstance(each, ConfigError) for each in causes)
    return tick.with_result('failed', str(error), USAGE if unusable else FAILED)


def _decide(recipe: Recipe, now: datetime.datetime) -> tuple[Recipe, Decision]:
    """The decision, and the recipe with the classes of the live model."""
    store = open_store(recipe.metadata, recipe.home)
    with reporting_errors():
        provenance = Provenance(store, recipe.name)
        recipe = recipe.with_classes(live_classes(recipe.serving_directory))
        return recipe, decide(recipe, provenance, now)


def with_outcome(tick: Tick, outcome: 'Outcome') -> Tick:
    """A copy of the tick with the result of its run."""
    verdict: Verdict
    if outcome.blessed and outcome.unchanged:
        verdict, reason = 'unchanged', 'data and recipe give the live model'
    elif outcome.blessed:
        verdict, reason = 'blessed', f'pushed to {outcome.pushed_to}'
    else:
        verdict, reason = 'not blessed', '; '.join(outcome.reasons)
    return tick.with_result(
        verdict,
        reason,
        0,
        run=outcome.run_id,
        accuracy=outcome.accuracy,
        previous_accuracy=outcome.previous_accuracy,
        pushed_to=str(outcome.pushed_to) if outcome.pushed_to else None,
    )


def retrying(config: RetrainConfig) -> tenacity.Retrying:
    """Calls a function again, with pauses, after errors that are `retryable`."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_retryable),
        wait=tenacity.wait_exponential(config.backoff_seconds),
        stop=tenacity.stop_after_attempt(config.max_attempts),
        before_sleep=_log_pause,
        reraise=True,
    )


def _log_pause(state: tenacity.RetryCallState) -> None:
    assert state.outcome is not None
    pause = f'{state.upcoming_sleep:g} s'
    _log.warning('%s; the next attempt is in %s', state.outcome.exception(), pause)


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, PipelineError) and all(each.retryable for each in _chain(error))


def _chain(error: PipelineError) -> Iterator[PipelineError]:
    """Yields an error, then the PipelineErrors in its chain of causes."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PipelineError):
            yield cause
        cause = cause.__cause__
