"""One tick of the schedule: decides whether to train, and trains if there is a reason."""

import dataclasses
import datetime
import logging
from collections.abc import Iterator

import tenacity

from common.errors import INTERRUPTED, NOT_BLESSED, AlreadyRunning, PipelineError, TooFewImages
from components.pusher.serving_folder import live_classes, versions_in
from pipeline.command_line import CommandLine
from pipeline.config.recipe import Recipe
from pipeline.config.retraining import RetrainConfig
from pipeline.local.run_recipe import lock_recipe, run_recorded
from pipeline.metadata_store import open_store, reporting_errors
from pipeline.registry.preparation import prepare_metadata
from pipeline.retraining.decision import Decision, decide, describe_waiting
from pipeline.retraining.webhook import post_result
from pipeline.run.record import Run, utc_now
from pipeline.run.recording import Recording, new_run
from pipeline.run.run_list import describe_decision

_log = logging.getLogger(__name__)


def run_if_new(
    recipe: Recipe,
    *,
    now: datetime.datetime | None = None,
    verbose: bool = False,
    commands: CommandLine | None = None,
) -> Run:
    """Trains if there is a reason, and pushes a model that the gate blesses.

    Posts the result to the webhook. `commands` are for the report of the run.

    Returns:
        The record, with the exit code: also of a run that failed.

    Raises:
        ConfigError: the folder of the runs cannot be written.
    """
    tick = new_run(recipe, now or utc_now()).with_values(kind='tick')
    record = Recording(recipe.home, tick)
    try:
        with lock_recipe(recipe):
            record = _decide_and_train(recipe, record, verbose, commands)
    except AlreadyRunning as error:
        _log.info('skipped: %s', error, extra={'always': True})
        return tick.with_values(result='skipped', reasons=(str(error),), exit_code=0)
    if record.run.exit_code == NOT_BLESSED:  # as expected of a schedule
        record.add(exit_code=0)
    if not record.run.exit_code:
        trained = record.run.result != 'nothing new'
        reason = '; '.join(record.run.reasons) or record.run.decision
        _log.info(describe_decision(record.run) if trained else reason, extra={'always': True})
    if problem := post_result(recipe, record.run):
        _log.warning(problem)
        record.add(webhook_error=problem)
    return record.run


def _decide_and_train(
    recipe: Recipe, record: Recording, verbose: bool, commands: CommandLine | None
) -> Recording:
    """The record of the last attempt, which has ended: every exception becomes a result."""
    tick = record.run
    try:
        with record:
            recipe, decision = retrying(recipe.retrain)(decide_tick, recipe, tick.started)
            tick = record.run = with_decision(tick, decision)
            if not decision.train:
                record.end('nothing new', exit_code=0)
                return record
        _log.info(decision.reason)
        for attempt in retrying(recipe.retrain):
            number = attempt.retry_state.attempt_number
            record = Recording(recipe.home, tick.with_values(attempt=number))
            with attempt, record:
                training = recipe.for_retraining()
                run_recorded(training, record, verbose=verbose, commands=commands)
    except (Exception, KeyboardInterrupt) as error:
        shortage = next((each for each in _chain(error) if isinstance(each, TooFewImages)), None)
        is_new = bool(tick.new) and tick.new[-1:] == tick.spans[-1:]
        if shortage and is_new and versions_in(recipe.serving_directory):  # more images may come
            reason = describe_waiting(tick.new[-1], shortage)
            record.add(result='nothing new', reasons=(reason,), exit_code=0)
        elif isinstance(error, KeyboardInterrupt) and record.run.result == 'failed':  # in a pause
            record.add(result='interrupted', reasons=('interrupted',), exit_code=INTERRUPTED)
    return record


@reporting_errors()
def decide_tick(recipe: Recipe, now: datetime.datetime) -> tuple[Recipe, Decision]:
    """Whether to train, and the recipe with the classes of the live model."""
    provenance = prepare_metadata(recipe, open_store(recipe.metadata, recipe.home))
    recipe = recipe.with_classes(live_classes(recipe.serving_directory))
    return recipe, decide(recipe, provenance, now)


def with_decision(run: Run, decision: Decision) -> Run:
    """The record of a run with the decision why it trains, or does not."""
    values = dataclasses.asdict(decision)
    del values['train']
    return run.with_values(decision=values.pop('reason'), **values)


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


def _chain(error: BaseException | None) -> Iterator[PipelineError]:
    """Yields the PipelineErrors among an error and its chain of causes."""
    while error is not None:
        if isinstance(error, PipelineError):
            yield error
        error = error.__cause__
