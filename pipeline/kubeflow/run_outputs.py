"""The verdict of a run, as Kubeflow's interface shows it: metrics and a page."""

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


def show_verdict(ir: pipeline_pb2.Pipeline, recipe: Recipe, options: dict[str, Any]) -> None:
    """Prints the table and the verdict, and writes both of Kubeflow's artifacts.

    Args:
        ir: the pipeline of this run; all of its nodes have ended.
        recipe: of the run.
        options: `verdict` and `report` are where Kubeflow wants the artifacts, `executor_input` is
            its description of the task.
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
    _tell(recipe, outcome)


def _tell(recipe: Recipe, outcome: Outcome) -> None:
    """The webhook of the recipe, as a tick on one machine does; a failed run has no last task."""
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
    """What can be compared between runs; a run without a blessed model before has no `previous`.

    What is no number is left out: JSON has none for it.
    """
    measured = {name: each.value for name, each in outcome.measures.items()}
    values = {
        **measured,
        'blessed': float(outcome.blessed),
        'accuracy': outcome.accuracy,
        'baseline_accuracy': outcome.baseline_accuracy,
        'previous_accuracy': outcome.previous_accuracy,
    }
    return {name: value for name, value in values.items() if value is not None}


def _write_executor_output(executor_input: dict[str, Any], values: dict[str, float]) -> None:
    """Metrics are metadata of their artifact, which a task hands over in a file of its own.

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
