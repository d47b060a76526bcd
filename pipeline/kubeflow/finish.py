"""The last task of a Kubeflow run, which also runs after a failure and after the user stops it.

Kubeflow's own final status (`dsl.PipelineTaskFinalStatus`) is not used: releases before 2.14 refuse
it, and it stays RUNNING for a pipeline with a condition in 2.14, and after a stop in all releases.
"""

import json
import logging
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Execution

from common.errors import FAILED, ConfigError, MetadataError
from common.metadata_queries import SUCCEEDED, component_class
from pipeline.config.recipe import Recipe, recipe_of
from pipeline.kubeflow.run_inputs import recipe_of_run
from pipeline.metadata_store import open_store, reporting_errors
from pipeline.registry.lease import release_lease
from pipeline.registry.run_log import log_run
from pipeline.retraining.cron import utc_now
from pipeline.retraining.journal import Journal, Tick
from pipeline.retraining.tick import post_result

_log = logging.getLogger(__name__)


def finish(inputs: dict[str, Any]) -> None:
    """Completes the tick of a run in the journal, releases the lease, and calls the webhook.

    Raises:
        OSError: the journal cannot be written.
    """
    run = inputs['run_id']
    try:
        recipe = recipe_of_run(inputs)
    except ConfigError as error:  # which also failed the decision
        recipe = recipe_of(json.loads(inputs['recipe']))
        tick = _tick_of(recipe, run).with_result('failed', str(error), error.exit_code)
    else:
        tick = _ended(recipe, _tick_of(recipe, run))
    tick = tick.model_copy(update={'ended': utc_now()})
    recipe.home.mkdir(parents=True, exist_ok=True)
    journal = Journal(recipe.home)
    journal.write(tick)
    if tick.train and tick.verdict in ('failed', 'killed'):
        result = 'failed' if tick.verdict == 'failed' else 'interrupted'
        log_run(recipe.home, run, result=result, reason=tick.reason)
    _log.info(tick.reason if tick.verdict == 'nothing new' else f'{tick.verdict}: {tick.reason}')
    post_result(recipe, journal, tick)


def _tick_of(recipe: Recipe, run: str) -> Tick:
    """The tick of a run; a new one if the run ended before it recorded one."""
    ticks = {tick.tick: tick for tick in Journal(recipe.home).ticks()}
    return ticks.get(run) or Tick(tick=run, run=run, started=utc_now())


def _ended(recipe: Recipe, tick: Tick) -> Tick:
    """The tick with a result; without a recorded one, ML Metadata tells how the run ended."""
    try:
        store = open_store(recipe.metadata, recipe.home)
        with reporting_errors():
            release_lease(store, recipe.name, tick.tick)
            return tick if tick.verdict else _with_end(store, tick)
    except MetadataError as error:
        _log.warning(error)
        return tick if tick.verdict else tick.with_result('failed', str(error), FAILED)


def _with_end(store: MetadataStore, tick: Tick) -> Tick:
    """The tick of a run that recorded no result: a node failed, or its pod was ended."""
    context = store.get_context_by_type_and_name('pipeline_run', tick.tick)
    executions = store.get_executions_by_context(context.id) if context else []
    states = {  # by node, of its last attempt
        _node_of(store, each): each.last_known_state
        for each in sorted(executions, key=lambda each: each.id)
    }
    node, _, error = tick.reason.partition(': ')  # of the last attempt that failed
    if error and states.get(node) not in SUCCEEDED:
        return tick.with_result('failed', error, FAILED)
    failed = [name for name, state in states.items() if state == Execution.FAILED]
    if failed:
        return tick.with_result('failed', f'{failed[0]} failed; see the log of its pod', FAILED)
    running = [name for name, state in states.items() if state == Execution.RUNNING]
    when = f'during {running[0]}' if running else f'after {list(states)[-1]}' if states else 'early'
    reason = f'it ended {when}: it was stopped, or a pod was lost or took too long'
    return tick.with_result('killed', reason, FAILED)


def _node_of(store: MetadataStore, execution: Execution) -> str:
    """The ID of the node of an execution; TFX names a context `PIPELINE.NODE` after it."""
    contexts = store.get_contexts_by_execution(execution.id)
    names = [each.name.rpartition('.')[2] for each in contexts if each.type == 'node']
    return names[0] if names else component_class(execution)
