"""The last task of a Kubeflow run, which also runs after a failure and after the user stops it.

Kubeflow's own final status (`dsl.PipelineTaskFinalStatus`) is not used: for a pipeline with a
condition it stays RUNNING in 2.14, and after a stop in all releases.
"""

import logging
from typing import Any

from common.errors import FAILED, USAGE, ConfigError
from pipeline.kubeflow.run_inputs import recipe_of_run
from pipeline.retraining.webhook import post_result
from pipeline.run.record import find_run, utc_now
from pipeline.run.recording import Recording, new_run
from pipeline.run.run_list import describe_decision

_log = logging.getLogger(__name__)


def finish(inputs: dict[str, Any]) -> None:
    """Records the end of a run that has recorded none, and calls the webhook."""
    invalid = None
    try:
        recipe = recipe_of_run(inputs)
    except ConfigError as error:  # an override failed the decision, before it recorded the run
        recipe, invalid = recipe_of_run({**inputs, 'overrides': []}), str(error)
    run_id = inputs['run_id']
    new = new_run(recipe, utc_now(), id=run_id, engine='kubeflow')
    record = Recording(recipe.home, find_run(recipe.home, run_id) or new)
    if invalid:
        record.end('failed', reasons=(invalid,), exit_code=USAGE)
    elif errors := record.run.reasons:  # of tasks, each after the name of its node
        reasons = tuple(each.partition(': ')[2] for each in errors)
        record.end('failed', reasons=reasons, exit_code=FAILED)
    else:
        last = record.run.task or 'decision'
        reason = (
            f'it ended during or after {last}: it was stopped, or a pod was lost or took too long'
        )
        record.end('interrupted', reasons=(reason,), exit_code=FAILED)
    run = record.run
    _log.info(describe_decision(run))
    post_result(recipe, record)
    if run.kind == 'tick' and run.result == 'nothing new':
        record.move_to_last_tick()
