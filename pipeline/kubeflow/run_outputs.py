"""Outputs of a run for Kubeflow: a metrics artifact, an HTML report and the result of its tick."""

import json
from pathlib import Path
from typing import Any

from tfx.proto.orchestration import pipeline_pb2

from pipeline.config.recipe import Recipe
from pipeline.execution.launch import read_results
from pipeline.execution.outcome import Outcome, logged_outcome, read_outcome, show_outcome
from pipeline.registry.run_log import log_run
from pipeline.report.write import write_report
from pipeline.retraining.journal import Journal
from pipeline.retraining.tick import with_outcome
from pipeline.tracking.track import track


def write_run_outputs(
    ir: pipeline_pb2.Pipeline, recipe: Recipe, verdict: Path, report: Path, outputs: dict[str, Any]
) -> None:
    """Prints the results of a run after its Pusher, and writes the artifacts and the journal.

    `verdict` and `report` are files of artifacts; `outputs` is a part of Kubeflow's ExecutorInput.
    """
    results = read_results(ir)
    run_id = ir.runtime_spec.pipeline_run_id.field_value.string_value
    outcome = read_outcome(run_id, results, recipe)
    seconds = sum(result.seconds for result in results.values())
    log_run(recipe.home, run_id, seconds=seconds, **logged_outcome(outcome, results))
    data = write_report(report, recipe, results, outcome, seconds)
    if data:
        outcome = outcome.with_warnings(track(recipe, data))
    show_outcome(results, outcome, seconds)
    values = metrics(outcome)
    _write_json(verdict, values)
    # The metadata of the artifact, which Kubeflow reads from the output file: an ExecutorOutput.
    (artifact,) = outputs['artifacts']['verdict']['artifacts']
    artifact = {**artifact, 'metadata': {**artifact.get('metadata', {}), **values}}
    executor_output = {'artifacts': {'verdict': {'artifacts': [artifact]}}}
    _write_json(Path(outputs['outputFile']), executor_output)
    record_outcome(recipe, outcome)


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


def record_outcome(recipe: Recipe, outcome: Outcome) -> None:
    """Adds the result to the tick of the run; the last task of the run posts it."""
    journal = Journal(recipe.home)
    for tick in journal.ticks():
        if tick.tick == outcome.run_id:
            journal.write(with_outcome(tick, outcome))


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
