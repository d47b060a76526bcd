"""One tick of the schedule: decides whether to train, and trains if there is a reason."""

import datetime
import logging

import tenacity

from common.errors import INTERRUPTED, NOT_BLESSED, AlreadyRunning, PipelineError
from components.pusher.serving_folder import live_classes
from pipeline.config.recipe import Recipe
from pipeline.config.retraining import RetrainConfig
from pipeline.local.run_recipe import lock_recipe, run_recorded
from pipeline.metadata_store import open_store, reporting_errors
from pipeline.models.preparation import prepare_metadata
from pipeline.retraining.decision import decide
from pipeline.retraining.webhook import post_result
from pipeline.run.record import Run, utc_now
from pipeline.run.recording import Recording, new_run
from pipeline.run.run_list import describe_decision

_log = logging.getLogger(__name__)


def run_if_new(
    recipe: Recipe, *, now: datetime.datetime | None = None, verbose: bool = False
) -> Run:
    """Trains if there is a reason, and pushes a model that the gate blesses.

    Posts the result to the webhook.

    Returns:
        The record of the last attempt, with the exit code: also of one that failed.

    Raises:
        OSError: the folder of the runs cannot be written.
    """
    now = now or utc_now()
    try:
        with lock_recipe(recipe):
            record = _run_attempts(recipe, now, verbose)
    except AlreadyRunning as error:
        _log.info('skipped: %s', error, extra={'always': True})
        values = {'result': 'skipped', 'reasons': (str(error),), 'exit_code': 0}
        return new_run(recipe, now, kind='tick', **values)
    if record.run.exit_code == NOT_BLESSED:  # as expected of a schedule
        record.add(exit_code=0)
    if record.run.exit_code == 0:
        _log.info(describe_decision(record.run), extra={'always': True})
    post_result(recipe, record)
    return record.run


def _run_attempts(recipe: Recipe, now: datetime.datetime, verbose: bool) -> Recording:
    """Decides and trains, again after errors that are `retryable`.

    Returns the record of the last attempt, which has ended: every exception becomes a result.
    """
    record: Recording | None = None
    try:
        for attempt in retrying(recipe.retrain):
            number = attempt.retry_state.attempt_number
            started = now if number == 1 else utc_now()
            tick = new_run(recipe, started, kind='tick', attempt=number)
            record = Recording(recipe.home, tick)
            with attempt, record:
                training = recipe_to_train(recipe, record)
                if training is None:
                    record.end('nothing new', exit_code=0)
                    break
                _log.info(record.run.decision)
                run_recorded(training, record, verbose=verbose)
    except (Exception, KeyboardInterrupt) as error:
        if record is None:
            raise
        if isinstance(error, KeyboardInterrupt) and record.run.result == 'failed':  # in a pause
            record.add(result='interrupted', exit_code=INTERRUPTED)
    assert record
    return record


def recipe_to_train(recipe: Recipe, record: Recording) -> Recipe | None:
    """Decides whether to train, and records why.

    Returns:
        The recipe with the classes of the live model; None if there is no reason to train.
    """
    with reporting_errors():
        provenance = prepare_metadata(recipe, open_store(recipe.metadata, recipe.home))
        recipe = recipe.with_classes(live_classes(recipe.serving_directory))
        found = decide(recipe, provenance, record.run.started)
    record.run = record.run.with_values(decision=found.reason, spans=found.spans, new=found.new)
    return recipe if found.train else None


def retrying(config: RetrainConfig) -> tenacity.Retrying:
    """Calls a function again, with pauses, after errors that are `retryable`."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_retryable),
        wait=tenacity.wait_exponential(config.backoff_seconds),
        stop=tenacity.stop_after_attempt(config.max_attempts),
        before_sleep=_log_pause,
        reraise=True,
    )


def _log_pause(state: tenacity.RetryCallState) -> None:
    assert state.outcome is not None
    pause = f'{state.upcoming_sleep:g} s'
    _log.warning('%s; the next attempt is in %s', state.outcome.exception(), pause)


def is_retryable(error: BaseException | None) -> bool:
    """Whether an error of this project is retryable, and those that caused it."""
    if not isinstance(error, PipelineError):
        return False
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__:
        causes.append(cause)
    return all(each.retryable for each in causes if isinstance(each, PipelineError))
