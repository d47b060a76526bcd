"""The record of a Kubeflow run after its first task: its nodes, the error of a task, its end.

Kubeflow's own final status (`dsl.PipelineTaskFinalStatus`) is not used: for a pipeline with a
condition it stays RUNNING in 2.14, and after a stop in all releases.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import Any

from common.errors import FAILED, USAGE, ConfigError, StorageError
from common.storage import storage_of
from pipeline.config.kubeflow import NODE_TASKS
from pipeline.kubeflow.run_inputs import recipe_of_run
from pipeline.retraining.webhook import post_result
from pipeline.run.record import Run, find_run, record_file, update_run, utc_now
from pipeline.run.recording import Recording, new_run
from pipeline.run.run_list import describe_decision

_NOT_ENDED: dict[str, Any] = dict.fromkeys(('result', 'ended', 'seconds', 'exit_code'))

_log = logging.getLogger(__name__)


def record_node(task: str, inputs: dict[str, Any], node_id: str) -> None:
    """Records that a node starts, and forgets errors of earlier attempts of its task."""

    def change(before: Run) -> dict[str, Any]:
        values = {**dict(before), 'seen': utc_now(), 'task': node_id}
        if before.result in ('failed', 'interrupted'):  # a user retries the run
            values |= {**_NOT_ENDED, 'reasons': ()}
        for key in ('reasons', 'warnings'):
            values[key] = [each for each in values[key] if not each.startswith(f'{task}: ')]
        return values

    _update(inputs, change)


def record_error(task: str, inputs: dict[str, Any], message: str) -> bool:
    """Records the error of the last attempt of a task, except the last task.

    Returns whether the run has ended with a push, so that the error is only a warning of it.
    """
    if task not in NODE_TASKS:
        if task == 'decide':
            _create(inputs, reasons=(f'{task}: {message}',))
        return False

    def change(before: Run) -> dict[str, Any]:
        key = 'warnings' if before.result else 'reasons'
        return {key: (*getattr(before, key), f'{task}: {message}')}

    run = _update(inputs, change)
    return run is not None and run.result is not None


def failed_before(task: str, inputs: dict[str, Any]) -> str | None:
    """The error after the last attempt of an earlier pod of a task in this run, if it failed."""
    with contextlib.suppress(ConfigError, StorageError):  # the attempts meet them, too
        run = find_run(recipe_of_run(inputs).home, inputs['run_id'])
        if run and run.result is None:
            return next((each for each in run.reasons if each.startswith(f'{task}: ')), None)
    return None


def _update(inputs: dict[str, Any], change: Callable[[Run], dict[str, Any]]) -> Run | None:
    """Changes the record; an error is a warning in the log, because the task can run."""
    try:
        return update_run(recipe_of_run(inputs).home, inputs['run_id'], change)
    except (OSError, ValueError, StorageError) as problem:
        _log.warning('the run cannot be recorded: %s', problem)
        return None


def _create(inputs: dict[str, Any], **values: Any) -> None:
    """Writes the record of a run whose first task was ended before it wrote one."""
    with contextlib.suppress(ConfigError, StorageError, OSError):  # such as that there is one
        recipe = recipe_of_run(inputs)
        run = new_run(recipe, utc_now(), id=inputs['run_id'], engine='kubeflow', **values)
        storage_of(recipe.home).write(record_file(run.id), run.as_json().encode(), create=True)


def finish(inputs: dict[str, Any]) -> None:
    """Records the end of a run that has recorded none, and calls the webhook.

    This last task also runs after a failure, and after a user stops the run.
    """
    invalid = None
    try:
        recipe = recipe_of_run(inputs)
    except ConfigError as error:  # an override failed the first task, before it recorded the run
        recipe, invalid = recipe_of_run({**inputs, 'overrides': []}), str(error)
    run_id = inputs['run_id']
    new = new_run(recipe, utc_now(), id=run_id, engine='kubeflow')
    record = Recording(recipe.home, find_run(recipe.home, run_id) or new)
    if invalid:
        record.end('failed', reasons=(invalid,), exit_code=USAGE)
    elif errors := record.run.reasons:  # of tasks, each after its name
        reasons = tuple(each.partition(': ')[2] for each in errors)
        record.end('failed', reasons=reasons, exit_code=FAILED)
    else:
        last = record.run.task or 'decide'
        reason = f'it ended during or after {last}: it was stopped, or a pod was lost'
        record.end('interrupted', reasons=(reason,), exit_code=FAILED)
    _log.info(describe_decision(record.run))
    post_result(recipe, record)
    if record.run.kind == 'tick' and record.run.result == 'nothing new':
        record.move_to_last_tick()
