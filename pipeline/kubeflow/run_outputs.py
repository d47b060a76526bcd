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
    ir: pipeline_pb2.Pipeline, recipe: Recipe, report: Path, output_file: Path
) -> None:
    """Records and prints the results of a run after its Pusher, and writes the artifacts.

    `report` is the file of an artifact, `output_file` that of kfp's ExecutorOutput.
    """
    results = read_results(ir)
    run_id = ir.runtime_spec.pipeline_run_id.field_value.string_value
    seconds = sum(result.seconds for result in results.values())
    values: dict[str, Any] = {
        'ended': utc_now(),
        'seconds': seconds,
        **read_outcome(results, recipe),
    }

    def end(before: Run) -> dict[str, Any]:
        # Of other tasks, such as FolderPredictor; in a second attempt, with those of the first.
        errors = before.warnings if before.result else before.reasons
        return {**values, 'warnings': tuple(dict.fromkeys([*values['warnings'], *errors]))}

    run = update_run(recipe.home, run_id, end)
    data = write_report(report, recipe, results, run)
    problems = tuple(track(recipe, data)) if data else ()
    run = update_run(
        recipe.home, run_id, lambda before: {'warnings': (*before.warnings, *problems)}
    )
    show_run(run)
    # Kubeflow stores the metadata of the artifact, as it does for metrics of a Python component.
    verdict = {'artifacts': [{'metadata': metrics(run)}]}
    output_file.write_text(json.dumps({'artifacts': {'verdict': verdict}}))


def metrics(run: Run) -> dict[str, float]:
    """Returns the numbers that Kubeflow compares between runs, without missing values and NaN."""
    compared = run.gate.comparison if run.gate else None
    values = {
        **{name: estimate.value for name, estimate in run.metrics.items()},
        'blessed': float(run.blessed),
        'accuracy': run.accuracy,
        'minimum': run.gate.minimum if run.gate else None,
        'reference': compared.reference if compared else None,
    }
    return {name: value for name, value in values.items() if value is not None}
