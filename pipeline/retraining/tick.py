"""One tick of the schedule: decides whether to train, and trains if there is a reason."""

import datetime
import itertools
import logging
import time

from ml_metadata.errors import StatusError

from common.errors import INTERRUPTED, NOT_BLESSED, AlreadyRunning, MetadataError, PipelineError
from components.pusher.serving_folder import live_classes
from pipeline.config.recipe import Recipe
from pipeline.local.run_recipe import lock_recipe, run_recorded
from pipeline.metadata_store import open_store
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
    """Decides and trains, again after errors that are `retryable`, with doubling pauses.

    Returns the record of the last attempt, which has ended: every exception becomes a result.
    """
    for attempt in itertools.count(1):
        started = now if attempt == 1 else utc_now()
        record = Recording(recipe.home, new_run(recipe, started, kind='tick', attempt=attempt))
        try:
            with record:
                training = recipe_to_train(recipe, record)
                if training is None:
                    record.end('nothing new', exit_code=0)
                else:
                    _log.info(record.run.decision)
                    run_recorded(training, record, verbose=verbose)
            break
        except (Exception, KeyboardInterrupt) as error:
            if attempt == recipe.retrain.max_attempts or not is_retryable(error):
                break
            pause = recipe.retrain.backoff_seconds * 2 ** (attempt - 1)
            _log.warning('%s; the next attempt is in %g s', error, pause)
        try:
            time.sleep(pause)
        except KeyboardInterrupt:
            record.add(result='interrupted', exit_code=INTERRUPTED)
            break
    return record


def recipe_to_train(recipe: Recipe, record: Recording) -> Recipe | None:
    """Decides whether to train, and records why.

    Returns:
        The recipe with the classes of the live model; None if there is no reason to train.

    Raises:
        PipelineError: the images, the metadata or a version cannot be used.
    """
    try:
        provenance = prepare_metadata(recipe, open_store(recipe.metadata, recipe.home))
        recipe = recipe.with_classes(live_classes(recipe.serving_directory))
        found = decide(recipe, provenance, record.run.started)
    except StatusError as error:
        raise MetadataError(f'the metadata cannot be used: {error}') from error
    record.run = record.run.with_values(decision=found.reason, spans=found.spans, new=found.new)
    return recipe if found.train else None


def is_retryable(error: BaseException) -> bool:
    """Whether an error of this project is retryable, and those that caused it."""
    if not isinstance(error, PipelineError):
        return False
    causes: list[BaseException] = [error]
    while cause := causes[-1].__cause__:
        causes.append(cause)
    return all(each.retryable for each in causes if isinstance(each, PipelineError))
