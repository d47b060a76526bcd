"""Entry point of a Kubeflow container: runs one node of the pipeline with TFX's launcher.

    python -m pipeline.kubeflow.task NODE EXECUTOR_INPUT

EXECUTOR_INPUT is the message of this name in kfp's pipeline_spec.proto, as JSON, which Kubeflow
fills in: inputs, and paths of outputs. If Kubeflow restarts a killed pod with the same run ID, a
finished node is skipped, and an unfinished one runs again.
"""

import atexit
import gc
import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from common import console, stack
from common.errors import FAILED, AlreadyRunning, NodeFailed, PipelineError, StorageError
from pipeline.config.recipe import Recipe
from pipeline.kubeflow.run_inputs import parse_executor_input, recipe_of_run
from pipeline.run.record import Run, update_run, utc_now

DECISION = 'decision'  # the first task, which decides whether to train
FINISH = 'finish'  # the last task, which also runs after a failure
# Values of a record before the end of its run
_NOT_ENDED: dict[str, Any] = {
    'result': None,
    'ended': None,
    'seconds': None,
    'reasons': (),
    'exit_code': None,
}

_log = logging.getLogger('pipeline.kubeflow.task')  # __name__ is __main__ in a container


@click.command()
@click.argument('node_id', metavar='NODE')
@click.argument('executor_input')
@click.option('--report', type=Path, help='Output file of the report.')
@click.option('--gpus', type=int, default=0, help='Number of GPUs that are reserved.')
@click.pass_context
def main(context: click.Context, /, node_id: str, executor_input: str, **options: Any) -> None:
    """Run one node of the pipeline."""
    context.with_resource(console.output_to(sys.stdout))
    stack.set_tensorflow_log_level(1)
    try:
        _run_task(node_id, parse_executor_input(executor_input), **options)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, NodeFailed) else error
        if not isinstance(cause, PipelineError):
            traceback.print_exc()  # into the log of the pod
        message = str(error) or type(error).__name__
        click.echo(console.one_line(f'error: {message}'), err=True)
        sys.exit(getattr(error, 'exit_code', FAILED))


def _run_task(node_id: str, executor_input: dict[str, Any], report: Path | None, gpus: int) -> None:
    inputs, outputs = executor_input['inputs']['parameterValues'], executor_input['outputs']
    if node_id == FINISH:
        from pipeline.kubeflow.finish import finish

        finish(inputs)
        return
    recipe = recipe_of_run(inputs)
    # Weights are downloaded once for all pods. Keras reads the variable when it is imported.
    os.environ.setdefault('KERAS_HOME', str(recipe.workdir.absolute() / '.keras'))
    if node_id == DECISION:
        from pipeline.kubeflow.decision import decide

        for name, text in decide(inputs).items():
            Path(outputs['parameters'][name]['outputFile']).write_text(text)
        return
    _record(recipe, inputs['run_id'], node_id)
    try:
        ir = run_node(recipe, node_id, inputs, gpus)
        if report:
            from pipeline.kubeflow.run_outputs import write_run_outputs

            write_run_outputs(ir, recipe, report, Path(outputs['outputFile']))
    except Exception as error:
        _record(recipe, inputs['run_id'], node_id, error)
        raise


def _record(recipe: Recipe, run: str, node_id: str, error: Exception | None = None) -> None:
    """Records the start or the error of this attempt, for the last task.

    An error after the push is a warning of the run. A record that cannot be written is a warning in
    the log, because the node can run.
    """

    def change(before: Run) -> dict[str, Any]:
        if before.result in ('failed', 'interrupted'):  # a user retries the run
            before = before.with_values(**_NOT_ENDED)
        key = 'warnings' if before.result else 'reasons'
        errors = [each for each in getattr(before, key) if not each.startswith(f'{node_id}: ')]
        if error is not None:
            errors.append(f'{node_id}: {str(error) or type(error).__name__}')
        return {**dict(before), 'seen': utc_now(), 'task': node_id, key: errors}

    try:
        update_run(recipe.home, run, change)
    except (OSError, ValueError, AlreadyRunning, StorageError) as problem:
        _log.warning('run %s cannot be recorded: %s', run, problem)


def run_node(recipe: Recipe, node_id: str, inputs: dict[str, Any], gpus: int) -> Any:
    """Launches a node, and returns the intermediate representation of the pipeline."""
    import tensorflow as tf

    from pipeline.execution.launch import compile_pipeline, display_name, launch_node
    from pipeline.graph import create_pipeline

    if gpus and not tf.config.list_physical_devices('GPU'):
        _log.warning(
            'TensorFlow finds none of the %s reserved GPUs and uses the CPU; use an image built '
            'with TENSORFLOW=cuda, and check the driver of the cluster node',
            gpus,
        )
    classes, images = tuple(json.loads(inputs['classes'])), int(inputs['images'])
    ir = compile_pipeline(create_pipeline(recipe, classes, images), inputs['run_id'])
    result = launch_node(ir, node_id)
    how = 'cached' if result.cached else 'done'
    _log.info('%s %s in %.1f s', display_name(node_id), how, result.seconds)
    return ir


if __name__ == '__main__':
    gc.set_threshold(200_000, 50, 1000)  # TensorFlow and TFX create many permanent objects
    atexit.register(gc.freeze)
    main()
