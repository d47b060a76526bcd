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
from pipeline.retraining.webhook import post_result
from pipeline.run.record import Run, find_run, utc_now
from pipeline.run.recording import Recording, new_run
from pipeline.run.run_list import describe_decision

_log = logging.getLogger(__name__)


def finish(inputs: dict[str, Any]) -> None:
    """Records the end of a run that has recorded none, and calls the webhook."""
    error = None
    try:
        recipe = recipe_of_run(inputs)
    except ConfigError as invalid:  # which also failed the decision, before it recorded the run
        recipe, error = recipe_of(json.loads(inputs['recipe'])), invalid
    run = find_run(recipe.home, inputs['run_id']) or new_run(recipe, utc_now()).with_values(
        id=inputs['run_id'], engine='kubeflow'
    )
    record = Recording(recipe.home, run)
    if error:
        record.end('failed', reasons=(str(error),), exit_code=error.exit_code)
    elif run.result is None:
        record.end(**_read_end(recipe, run))
    run = record.run
    _log.info(run.decision if run.result == 'nothing new' else describe_decision(run))
    if problem := post_result(recipe, run):
        _log.warning(problem)
        record.add(webhook_error=problem)


def _read_end(recipe: Recipe, run: Run) -> dict[str, Any]:
    """How a run ended that recorded no result: a node failed, or its pod was ended."""
    try:
        with reporting_errors():
            states = _states(open_store(recipe.metadata, recipe.home), run.id)
    except MetadataError as problem:
        _log.warning(problem)
        return _end('failed', str(problem))
    node, _, error = '; '.join(run.reasons).partition(': ')  # of the last attempt that failed
    if error and states.get(node) not in SUCCEEDED:
        return _end('failed', error)
    failed = [name for name, state in states.items() if state == Execution.FAILED]
    if failed:
        return _end('failed', f'{failed[0]} failed; see the log of its pod')
    running = [name for name, state in states.items() if state == Execution.RUNNING]
    when = f'during {running[0]}' if running else f'after {list(states)[-1]}' if states else 'early'
    return _end(
        'interrupted', f'it ended {when}: it was stopped, or a pod was lost or took too long'
    )


def _end(result: str, reason: str) -> dict[str, Any]:
    return {'result': result, 'reasons': (reason,), 'exit_code': FAILED}


def _states(store: MetadataStore, run: str) -> dict[str, Any]:
    """The state of the last attempt of each node; TFX names a context `PIPELINE.NODE` after it."""
    context = store.get_context_by_type_and_name('pipeline_run', run)
    executions = store.get_executions_by_context(context.id) if context else []
    states = {}
    for each in sorted(executions, key=lambda each: each.id):
        contexts = store.get_contexts_by_execution(each.id)
        names = [each.name.rpartition('.')[2] for each in contexts if each.type == 'node']
        states[names[0] if names else component_class(each)] = each.last_known_state
    return states
