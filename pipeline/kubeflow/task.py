"""Entry point of a Kubeflow container: runs one node of the pipeline with TFX's launcher.

    python -m pipeline.kubeflow.task NODE --recipe JSON --run-id ID ...

The compiled spec provides all options. If Kubeflow restarts a killed pod with the same run ID, a
finished node is skipped, and an unfinished one runs again.
"""

import datetime
import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from common import console
from common.errors import ConfigError, NodeFailed, PipelineError
from components.evaluation.config import check_floors
from pipeline.config.recipe import Recipe, parse_override, recipe_of
from pipeline.execution.quick_imports import quick_imports

DECISION = 'decision'  # the first task, which decides whether to train
FAILED, USAGE = 1, 2
_PARAMETERS = {  # pipeline parameters, and the recipe keys that they override
    'data_path': 'data.path',
    'workdir': 'workdir',
    'pipeline_root': 'pipeline_root',
    'metadata_address': 'metadata.address',
    'push_directory': 'push_directory',
}
_OVERRIDES = TypeAdapter(list[str])

_log = logging.getLogger('pipeline.kubeflow.task')  # __name__ is __main__ in a container


@click.command()
@click.argument('node_id', metavar='NODE')
@click.option('--recipe', required=True, help='The recipe, as JSON.')
@click.option('--run-id', required=True, help='ID of the run, for all of its tasks.')
@click.option('--data-path', default='')
@click.option('--workdir', default='')
@click.option('--pipeline-root', default='')
@click.option('--metadata-address', default='')
@click.option('--push-directory', default='')
@click.option('--overrides', default='[]', help='List of KEY=VALUE, as JSON.')
@click.option('--only-when-new', default='false')
@click.option('--optional-nodes', default='', help='Optional nodes of the compiled pipeline.')
@click.option('--train', type=Path, help='Output file of the decision.')
@click.option('--classes', default='', help='Class names as JSON; output file of the decision.')
@click.option('--images', default='', help='Number of images; output file of the decision.')
@click.option('--verdict', type=Path, help='Output file of the metrics.')
@click.option('--report', type=Path, help='Output file of the report.')
@click.option('--executor-input', default='{}', help='ExecutorInput of Kubeflow, as JSON.')
@click.pass_context
def main(context: click.Context, /, node_id: str, recipe: str, run_id: str, **options: Any) -> None:
    """Run one node of the pipeline."""
    context.with_resource(console.output_to(sys.stdout))
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '1')
    try:
        _run_task(node_id, recipe, run_id, options)
    except PipelineError as error:
        if isinstance(error, NodeFailed) and not isinstance(error.__cause__, PipelineError):
            traceback.print_exc()  # into the log of the pod
        _fail(str(error), USAGE if isinstance(error, ConfigError) else FAILED)
    except Exception as error:
        traceback.print_exc()
        _fail(' '.join(str(error).split()) or type(error).__name__, FAILED)


def _run_task(node_id: str, recipe: str, run_id: str, options: dict[str, Any]) -> None:
    if '{{' in run_id:
        raise ConfigError(
            f'the run ID {run_id} is a placeholder; use Kubeflow Pipelines 2.4 or newer, which '
            'replaces it'
        )
    validated = apply_parameters(json.loads(recipe), options)
    if node_id == DECISION:
        _check_optional_nodes(validated, options['optional_nodes'])
        decide(validated, options)
    else:
        run_node(validated, node_id, run_id, options)


def _check_optional_nodes(recipe: Recipe, compiled: str) -> None:
    """Checks that the overrides of a run do not add or remove nodes.

    Raises:
        ConfigError: the compiled pipeline has other optional nodes.
    """
    required = ','.join(recipe.optional_nodes)
    if required != compiled:
        raise ConfigError(
            'a parameter of this run changes the components of the pipeline: it needs the optional '
            f'components {required or "none"}, but was compiled with {compiled or "none"}; compile '
            'it again (see data.source, data.window, data.span_range, trainer.warm_start, tuner, '
            'lite and inference)'
        )


def decide(recipe: Recipe, options: dict[str, Any]) -> None:
    """Decides whether to train, prints the reason, and writes the outputs of the decision task.

    The other tasks receive classes and number of images from here, as the folder may change.
    """
    from components.image_example_gen.sources.spans import open_window

    train, reason = True, 'this run was requested'
    if options['only_when_new'].lower() == 'true':
        from pipeline.metadata_store import open_store
        from pipeline.retraining import decision

        now = datetime.datetime.now(datetime.timezone.utc)
        result = decision.decide(recipe, open_store(recipe.metadata, recipe.home), now)
        train, reason = result.train, result.reason
    _log.info(reason)
    window = open_window(recipe.data)
    check_floors(recipe.evaluation, window[0].source.classes)
    outputs = {
        'train': json.dumps(train),
        'classes': json.dumps(window[0].source.classes),
        'images': str(sum(span.source.count for span in window)),
    }
    for name, text in outputs.items():
        path = Path(options[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run_node(recipe: Recipe, node_id: str, run_id: str, options: dict[str, Any]) -> None:
    """Launches a node; after the Pusher it also writes the outputs for Kubeflow."""
    with quick_imports():
        from pipeline.execution.compilation import compile_pipeline, display_name
        from pipeline.execution.launch import launch_node, node_of
        from pipeline.graph import create_pipeline
        from pipeline.metadata_store import open_store
        from pipeline.registry.leftovers import finish_pushes, skip_used_execution_ids
        from pipeline.registry.provenance import PUSHER

    store = open_store(recipe.metadata, recipe.home)
    classes, images = tuple(json.loads(options['classes'])), int(options['images'])
    ir = compile_pipeline(create_pipeline(recipe, classes, images), run_id)
    skip_used_execution_ids(recipe, store)
    if node_id == PUSHER:
        finish_pushes(recipe, store)
    result = launch_node(ir, node_of(ir, node_id))
    how = 'cached' if result.cached else 'done'
    _log.info('%s %s in %.1f s', display_name(node_id), how, result.seconds)
    if options['verdict'] is not None:
        from pipeline.kubeflow.run_outputs import write_run_outputs

        write_run_outputs(ir, recipe, options)


def apply_parameters(values: dict[str, Any], options: dict[str, str]) -> Recipe:
    """Applies the pipeline parameters of a run to the compiled recipe.

    Args:
        values: the compiled recipe.
        options: pipeline parameters; missing and empty ones are ignored.

    Raises:
        ConfigError: a value is invalid.
    """
    changes = [(key, options[name]) for name, key in _PARAMETERS.items() if options.get(name)]
    text = options.get('overrides', '[]')
    try:
        overrides = _OVERRIDES.validate_json(text)
    except ValidationError:
        raise ConfigError(
            f'overrides: {text} is not a list of strings; use a list such as ["trainer.seed=7"]'
        ) from None
    return recipe_of(values, [*changes, *map(parse_override, overrides)])


def _fail(message: str, code: int) -> None:
    click.echo(f'error: {message}', err=True)
    sys.exit(code)


if __name__ == '__main__':
    main()
