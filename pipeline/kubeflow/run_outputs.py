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


def write_run_outputs(
    ir: pipeline_pb2.Pipeline, recipe: Recipe, verdict: Path, report: Path, outputs: dict[str, Any]
) -> None:
    """Prints the results of a run after its Pusher, writes the artifacts and calls the webhook.

    `verdict` and `report` are files of artifacts; `outputs` is a part of Kubeflow's ExecutorInput.
    """
    results = read_results(ir)
    run_id = ir.runtime_spec.pipeline_run_id.field_value.string_value
    outcome = read_outcome(run_id, results, recipe)
    seconds = sum(result.seconds for result in results.values())
    show_outcome(results, outcome, seconds)
    write_report(report, recipe, results, outcome, seconds)
    values = metrics(outcome)
    _write_json(verdict, values)
    # The metadata of the artifact, which Kubeflow reads from the output file: an ExecutorOutput.
    (artifact,) = outputs['artifacts']['verdict']['artifacts']
    artifact = {**artifact, 'metadata': {**artifact.get('metadata', {}), **values}}
    executor_output = {'artifacts': {'verdict': {'artifacts': [artifact]}}}
    _write_json(Path(outputs['outputFile']), executor_output)
    if recipe.retrain.webhook_env:
        _call_webhook(recipe, recipe.retrain.webhook_env, outcome)


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


def _call_webhook(recipe: Recipe, variable: str, outcome: Outcome) -> None:
    """Posts the result, as a local tick does; failed runs do not get here."""
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
    error = post_to_webhook(variable, message)
    if error:
        _log.warning(error)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
