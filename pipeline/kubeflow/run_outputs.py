"""Outputs of a run for Kubeflow: the end of its record, a metrics artifact, an HTML report."""

import json
from pathlib import Path
from typing import Any

from tfx.proto.orchestration import pipeline_pb2

from pipeline.config.recipe import Recipe
from pipeline.execution.launch import read_results
from pipeline.execution.outcome import read_outcome, show_run
from pipeline.report.write import write_report
from pipeline.run.record import Run, update_run, utc_now
from pipeline.tracking.track import track


def write_run_outputs(
    ir: pipeline_pb2.Pipeline, recipe: Recipe, verdict: Path, report: Path, outputs: dict[str, Any]
) -> None:
    """Records and prints the results of a run after its Pusher, and writes the artifacts.

    `verdict` and `report` are files of artifacts; `outputs` is a part of Kubeflow's ExecutorInput.
    """
    results = read_results(ir)
    run_id = ir.runtime_spec.pipeline_run_id.field_value.string_value
    seconds = sum(result.seconds for result in results.values())
    values = {'ended': utc_now(), 'seconds': seconds, **read_outcome(results, recipe)}
    run = update_run(recipe.home, run_id, lambda _: values)
    data = write_report(report, recipe, results, run)
    if data and (problems := tuple(track(recipe, data))):
        warnings = {'warnings': (*run.warnings, *problems)}
        run = update_run(recipe.home, run_id, lambda _: warnings)
    show_run(run)
    numbers = metrics(run)
    _write_json(verdict, numbers)
    # The metadata of the artifact, which Kubeflow reads from the output file: an ExecutorOutput.
    (artifact,) = outputs['artifacts']['verdict']['artifacts']
    artifact = {**artifact, 'metadata': {**artifact.get('metadata', {}), **numbers}}
    executor_output = {'artifacts': {'verdict': {'artifacts': [artifact]}}}
    _write_json(Path(outputs['outputFile']), executor_output)


def metrics(run: Run) -> dict[str, float]:
    """Returns the numbers that Kubeflow compares between runs, without missing values and NaN."""
    values = {
        **{name: estimate.value for name, estimate in run.metrics.items()},
        'blessed': float(run.blessed),
        'accuracy': run.accuracy,
        'baseline_accuracy': run.baseline_accuracy,
        'previous_accuracy': run.previous_accuracy,
    }
    return {name: value for name, value in values.items() if value is not None}


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
