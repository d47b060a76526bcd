"""Outputs of a run for Kubeflow: the end of its record, a metrics artifact, an HTML report."""

import json
from pathlib import Path

from tfx.proto.orchestration import pipeline_pb2

from pipeline.config.recipe import Recipe
from pipeline.execution.launch import read_results
from pipeline.execution.outcome import read_outcome, show_run
from pipeline.report.write import write_report
from pipeline.run.record import Run, find_run, update_run, utc_now
from pipeline.tracking.track import track


def write_run_outputs(
    ir: pipeline_pb2.Pipeline, recipe: Recipe, report: Path, output_file: Path
) -> None:
    """Records and prints the results of a run after its push, and writes the artifacts.

    `report` is the file of an artifact, `output_file` that of kfp's ExecutorOutput. A run whose end
    was recorded before is not tracked again.
    """
    results = read_results(ir)
    run_id = ir.runtime_spec.pipeline_run_id.field_value.string_value
    before = find_run(recipe.home, run_id)
    ended = before is not None and before.result is not None
    values = {'ended': utc_now(), **read_outcome(results, recipe)}
    values['warnings'] = tuple(
        dict.fromkeys([*values['warnings'], *(before.warnings if before else ())])
    )
    values['seconds'] = sum(result.seconds for result in results.values())
    run = update_run(recipe.home, run_id, lambda _: values)
    data = write_report(report, recipe, results, run)
    if data and not ended and (problems := tuple(track(recipe, data))):
        run = update_run(recipe.home, run_id, lambda run: {'warnings': (*run.warnings, *problems)})
    show_run(run)
    # Kubeflow stores the metadata of the artifact, as it does for metrics of a Python component.
    verdict = {'artifacts': [{'metadata': metrics(run)}]}
    output_file.write_text(json.dumps({'artifacts': {'verdict': verdict}}))


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
