"""Entry point of a Kubeflow container: runs one node of the pipeline with TFX's launcher.

    python -m pipeline.kubeflow.task NODE EXECUTOR_INPUT

EXECUTOR_INPUT is the message of this name in kfp's pipeline_spec.proto, as JSON, which Kubeflow
fills in: inputs, and paths of outputs. If Kubeflow restarts a killed pod with the same run ID, a
finished node is skipped, and an unfinished one runs again.
"""

import datetime
import json
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from common import console, stack
from common.errors import ConfigError, NodeFailed, PipelineError
from components.evaluation.config import check_floors
from pipeline.config.recipe import Recipe, parse_override, recipe_of
from pipeline.execution.quick_imports import quick_imports

DECISION = 'decision'  # the first task, which decides whether to train
_OVERRIDES = TypeAdapter(list[str])

_log = logging.getLogger('pipeline.kubeflow.task')  # __name__ is __main__ in a container


@click.command()
@click.argument('node_id', metavar='NODE')
@click.argument('executor_input')
@click.option('--verdict', type=Path, help='Output file of the metrics.')
@click.option('--report', type=Path, help='Output file of the report.')
@click.pass_context
def main(
    context: click.Context, /, node_id: str, executor_input: str, **artifacts: Path | None
) -> None:
    """Run one node of the pipeline."""
    context.with_resource(console.output_to(sys.stdout))
    stack.set_tensorflow_log_level(1)
    try:
        _run_task(node_id, json.loads(executor_input), artifacts)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, NodeFailed) else error
        if not isinstance(cause, PipelineError):
            traceback.print_exc()  # into the log of the pod
        click.echo(f'error: {str(error) or type(error).__name__}', err=True)
        sys.exit(getattr(error, 'exit_code', 1))


def _run_task(
    node_id: str, executor_input: dict[str, Any], artifacts: dict[str, Path | None]
) -> None:
    inputs, outputs = executor_input['inputs']['parameterValues'], executor_input['outputs']
    if '{{' in inputs['run_id']:
        raise ConfigError(
            f'the run ID {inputs["run_id"]} is a placeholder; use Kubeflow Pipelines 2.4 or newer, '
            'which replaces it'
        )
    recipe = recipe_of_run(inputs)
    if node_id == DECISION:
        for name, text in decide(recipe, inputs).items():
            path = Path(outputs['parameters'][name]['outputFile'])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return
    ir = run_node(recipe, node_id, inputs)
    if artifacts['verdict'] and artifacts['report']:
        from pipeline.kubeflow.run_outputs import write_run_outputs

        write_run_outputs(ir, recipe, artifacts['verdict'], artifacts['report'], outputs)


def recipe_of_run(inputs: dict[str, Any]) -> Recipe:
    """The compiled recipe with the overrides of this run.

    Raises:
        ConfigError: an override is invalid.
    """
    try:
        overrides = _OVERRIDES.validate_python(inputs['overrides'])
    except ValidationError:
        raise ConfigError(
            f'overrides: {inputs["overrides"]} is not a list of strings; use a list such as '
            '["trainer.seed=7"]'
        ) from None
    return recipe_of(json.loads(inputs['recipe']), list(map(parse_override, overrides)))


def decide(recipe: Recipe, inputs: dict[str, Any]) -> dict[str, str]:
    """Decides whether to train, prints the reason, and returns the outputs of the decision task.

    The other tasks receive classes and number of images from here, as the folder may change.

    Raises:
        ConfigError: overrides of this run add or remove nodes of the compiled pipeline.
    """
    from components.image_example_gen.sources.spans import open_window

    required, compiled = ','.join(recipe.optional_nodes), inputs['optional_nodes']
    if required != compiled:
        raise ConfigError(
            'a parameter of this run changes the components of the pipeline: it needs the optional '
            f'components {required or "none"}, but was compiled with {compiled or "none"}; compile '
            'it again (see data.source, trainer.warm_start, tuner, lite and inference)'
        )
    train, reason = True, 'this run was requested'
    if inputs['only_when_new']:
        from pipeline.metadata_store import open_store
        from pipeline.retraining import decision

        now = datetime.datetime.now(datetime.timezone.utc)
        result = decision.decide(recipe, open_store(recipe.metadata, recipe.home), now)
        train, reason = result.train, result.reason
    _log.info(reason)
    window = open_window(recipe.data)
    check_floors(recipe.evaluation, window[0].source.classes)
    return {
        'train': json.dumps(train),
        'classes': json.dumps(window[0].source.classes),
        'images': str(sum(span.source.count for span in window)),
    }


def run_node(recipe: Recipe, node_id: str, inputs: dict[str, Any]) -> Any:
    """Launches a node, and returns the intermediate representation of the pipeline."""
    with quick_imports():
        from pipeline.execution.compilation import compile_pipeline, display_name
        from pipeline.execution.launch import launch_node, node_of
        from pipeline.graph import create_pipeline
        from pipeline.metadata_store import open_store
        from pipeline.registry.leftovers import finish_pushes, skip_used_execution_ids
        from pipeline.registry.provenance import PUSHER

    store = open_store(recipe.metadata, recipe.home)
    classes, images = tuple(json.loads(inputs['classes'])), int(inputs['images'])
    ir = compile_pipeline(create_pipeline(recipe, classes, images), inputs['run_id'])
    skip_used_execution_ids(recipe, store)
    if node_id == PUSHER:
        finish_pushes(recipe, store)
    result = launch_node(ir, node_of(ir, node_id))
    how = 'cached' if result.cached else 'done'
    _log.info('%s %s in %.1f s', display_name(node_id), how, result.seconds)
    return ir


if __name__ == '__main__':
    main()
