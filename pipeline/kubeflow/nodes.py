"""Runs the nodes of a Kubeflow task with TFX's launcher, and writes the outputs of the run."""

import json
import logging
from pathlib import Path
from typing import Any

import tensorflow as tf
from tfx.proto.orchestration import pipeline_pb2

from pipeline.config.kubeflow import TaskName
from pipeline.config.recipe import Recipe
from pipeline.execution.launch import compile_pipeline, display_name, launch_node, read_results
from pipeline.execution.outcome import numbers_of, read_outcome, show_run
from pipeline.graph import create_pipeline
from pipeline.kubeflow.run_record import record_node
from pipeline.local.runner import PHASE_OF
from pipeline.models.provenance import PUSHER
from pipeline.report.write import write_report
from pipeline.run.record import find_run, update_run, utc_now
from pipeline.tracking.mlflow_run import track

_INGESTION = ('ImageExampleGen', 'newest_spans')
# The task that runs the other nodes of a phase of local runs
_TASK_OF_PHASE: dict[str, TaskName] = {
    'data': 'check_data',
    'training': 'train',
    'evaluation': 'evaluate',
    'checks': 'evaluate',
    'decision': 'push',
    'inference': 'push',
}

_log = logging.getLogger(__name__)


def run_nodes(
    task: TaskName,
    recipe: Recipe,
    inputs: dict[str, Any],
    gpus: int,
    report: Path | None,
    output_file: Path,
) -> None:
    """Runs the nodes of a task that have not finished in this run.

    With the file of a `report`, writes the outputs of the run after the push, and again after each
    later node, which may fail.
    """
    if gpus and not tf.config.list_physical_devices('GPU'):
        _log.warning(
            'TensorFlow finds none of the %s reserved GPUs and uses the CPU; use an image built '
            'with TENSORFLOW=cuda, and check the driver of the cluster node',
            gpus,
        )
    classes, images = tuple(json.loads(inputs['classes'])), int(inputs['images'])
    ir = compile_pipeline(create_pipeline(recipe, classes, images), inputs['run_id'])
    pushed = False
    for node_id in (each.pipeline_node.node_info.id for each in ir.nodes):
        if task_of(node_id) != task:
            continue
        record_node(task, inputs, node_id)
        result = launch_node(ir, node_id)
        how = 'cached' if result.cached else 'done'
        _log.info('%s %s in %.1f s', display_name(node_id), how, result.seconds)
        pushed = pushed or node_id == PUSHER
        if report and pushed:
            write_outputs(ir, recipe, report, output_file)


def task_of(node_id: str) -> TaskName:
    """Returns the task that runs a node."""
    return 'ingest' if node_id in _INGESTION else _TASK_OF_PHASE[PHASE_OF[node_id]]


def write_outputs(
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
    earlier = before.warnings if before else ()
    values['warnings'] = tuple(dict.fromkeys([*values['warnings'], *earlier]))
    values['seconds'] = sum(result.seconds for result in results.values())
    run = update_run(recipe.home, run_id, lambda _: values)
    data = write_report(report, recipe, results, run)
    if data and not ended and (problems := track(recipe, data)):
        run = update_run(recipe.home, run_id, lambda run: {'warnings': (*run.warnings, *problems)})
    show_run(run)
    # Kubeflow stores the metadata of the artifact, as it does for metrics of a Python component.
    numbers = {'artifacts': [{'metadata': numbers_of(run)}]}
    output_file.parent.mkdir(parents=True, exist_ok=True)  # Kubeflow 2.14 does not
    output_file.write_text(json.dumps({'artifacts': {'metrics': numbers}}))
