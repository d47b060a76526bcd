"""Outputs of a run for Kubeflow: a metrics artifact, an HTML report and the webhook."""

import json
import logging
from pathlib import Path
from typing import Any

from tfx.proto.orchestration import pipeline_pb2

from pipeline.config.recipe import Recipe
from pipeline.execution.launch import read_results
from pipeline.execution.outcome import Outcome, read_outcome, show_outcome
from pipeline.report.write import write_report
from pipeline.retraining.webhook import post_to_webhook

_log = logging.getLogger(__name__)


def write_run_outputs(ir: pipeline_pb2.Pipeline, recipe: Recipe, options: dict[str, Any]) -> None:
    """Prints the results of a run, writes the Kubeflow artifacts and calls the webhook.

    Args:
        ir: the pipeline of this run, after all nodes up to the Pusher.
        recipe: the recipe of the run.
        options: options of the task; `verdict` and `report` are the paths of the artifacts,
            `executor_input` is Kubeflow's ExecutorInput as JSON.
    """
    results = read_results(ir)
    run_id = ir.runtime_spec.pipeline_run_id.field_value.string_value
    outcome = read_outcome(run_id, results, recipe)
    seconds = sum(result.seconds for result in results.values())
    show_outcome(results, outcome, seconds)
    write_report(options['report'], recipe, results, outcome, seconds)
    values = metrics(outcome)
    options['verdict'].parent.mkdir(parents=True, exist_ok=True)
    options['verdict'].write_text(json.dumps(values))
    _write_executor_output(json.loads(options['executor_input']), values)
    _call_webhook(recipe, outcome)


def _call_webhook(recipe: Recipe, outcome: Outcome) -> None:
    """Posts the result to the webhook, as a local tick does; failed runs do not get here."""
    if recipe.retrain.webhook_env is None:
        return
    verdict = 'unchanged' if outcome.unchanged else 'blessed'
    message = {
        'recipe': recipe.name,
        'run': outcome.run_id,
        'reason': '; '.join(outcome.reasons),
        'verdict': verdict if outcome.blessed else 'not blessed',
        'accuracy': outcome.accuracy,
        'previous_accuracy': outcome.previous_accuracy,
        'pushed_to': str(outcome.pushed_to) if outcome.pushed_to else None,
    }
    problem = post_to_webhook(recipe.retrain.webhook_env, message)
    if problem is not None:
        _log.warning(problem)


def metrics(outcome: Outcome) -> dict[str, float]:
    """Returns the numbers that Kubeflow compares between runs, without missing values and NaN."""
    values = {
        **{name: estimate.value for name, estimate in outcome.metrics.items()},
        'blessed': float(outcome.blessed),
        'accuracy': outcome.accuracy,
        'baseline_accuracy': outcome.baseline_accuracy,
        'previous_accuracy': outcome.previous_accuracy,
    }
    return {name: value for name, value in values.items() if value is not None}


def _write_executor_output(executor_input: dict[str, Any], values: dict[str, float]) -> None:
    """Writes the metrics as metadata of the artifact `verdict`, in the file that Kubeflow reads.

    The message is `ExecutorOutput` of kfp's pipeline_spec.proto.
    """
    outputs = executor_input.get('outputs', {})
    file = outputs.get('outputFile')
    if not file:
        return
    (artifact,) = outputs['artifacts']['verdict']['artifacts']
    artifact['metadata'] = {**artifact.get('metadata', {}), **values}
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(json.dumps({'artifacts': {'verdict': {'artifacts': [artifact]}}}))
