"""Checks recipe, data and weights before a schedule waits for its first tick."""

import concurrent.futures
import logging
import multiprocessing

from common import console, stack
from common.errors import PipelineError
from components.pusher.serving_folder import live_classes
from pipeline.config.recipe import Recipe
from pipeline.execution.recipe_checks import (
    check_classes,
    check_data,
    check_disk_space,
    check_model,
)
from pipeline.metadata_store import existing_store, reporting_errors
from pipeline.registry.provenance import Provenance
from pipeline.retraining.cron import utc_now
from pipeline.retraining.decision import decide

_log = logging.getLogger(__name__)


def check_before_schedule(recipe: Recipe) -> None:
    """Checks in a subprocess, so that the schedule does not keep TensorFlow in memory.

    Logs what a tick would decide now. An error that a later attempt may not have, such as of an
    unreachable server, is a warning.

    Raises:
        PipelineError: the recipe, its data, its weights or the metadata cannot be used.
    """
    context = multiprocessing.get_context('spawn')
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        try:
            reason, records = pool.submit(_check, recipe).result()
            console.replay(records)
            _log.info('checked: %s', reason)
        except PipelineError as error:
            if not error.retryable:
                raise
            _log.warning('%s; the ticks try again', error)


def _check(recipe: Recipe) -> tuple[str, list[logging.LogRecord]]:
    """Checks as a scheduled run does; returns the reason of the decision, and what it logs."""
    stack.set_tensorflow_log_level(3)
    with console.collected() as records:
        reason = _reason(recipe)
    return reason, records


def _reason(recipe: Recipe) -> str:
    with reporting_errors():
        provenance = Provenance(existing_store(recipe.metadata, recipe.home), recipe.name)
        live = live_classes(recipe.serving_directory)
        recipe = recipe.with_classes(live)
        decision = decide(recipe, provenance, utc_now())
    if not decision.spans:  # the newest one waits for more images
        check_model(recipe, live or ())
        return decision.reason
    spans = check_data(recipe)
    classes = spans[0].source.classes
    check_classes(recipe, classes, live)
    images = sum(span.source.count for span in spans)
    check_disk_space(recipe, check_model(recipe, classes), images)
    return decision.reason
