"""What runs in a container of a Kubeflow task: one node of the pipeline, by TFX's own launcher.

    python -m pipeline.kubeflow.task NODE --recipe JSON --run-id ID ...

Everything is given by the compiled spec. Called again with the same run id, after the pod was
killed, a node that had finished is left as it is, and any other starts anew.
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

from common import console
from common.errors import ConfigError, NodeFailed, PipelineError
from components.evaluation.config import check_floors
from pipeline.config.recipe import Recipe, parse_override, recipe_of
from pipeline.execution.quick_imports import quick_imports

DECISION = 'decision'  # the task that says whether anything is to be done
FAILED, USAGE = 1, 2
_PARAMETERS = {  # of the pipeline, and the keys of the recipe that they change
    'data_path': 'data.path',
    'workdir': 'workdir',
    'pipeline_root': 'pipeline_root',
    'metadata_address': 'metadata.address',
    'push_directory': 'push_directory',
}

_log = logging.getLogger('pipeline.kubeflow.task')  # __name__ is __main__ in a container


@click.command()
@click.argument('node_id', metavar='NODE')
@click.option('--recipe', required=True, help='The recipe, as JSON.')
@click.option('--run-id', required=True, help='The same for all tasks of a run.')
@click.option('--data-path', default='')
@click.option('--workdir', default='')
@click.option('--pipeline-root', default='')
@click.option('--metadata-address', default='')
@click.option('--push-directory', default='')
@click.option('--overrides', default='[]', help='Other keys, as a list of KEY=VALUE in JSON.')
@click.option('--only-when-new', default='false')
@click.option('--optional-nodes', default='', help='Of the pipeline that was compiled.')
@click.option('--train', type=Path, help='Where the decision is written.')
@click.option('--classes', default='', help='As JSON; the first task writes it there.')
@click.option('--images', default='', help='How many; the first task writes it there.')
@click.option('--verdict', type=Path, help='Where metrics are written.')
@click.option('--report', type=Path, help='Where the page is written.')
@click.option('--executor-input', default='{}', help='What Kubeflow knows of the task.')
@click.pass_context
def main(context: click.Context, /, node_id: str, recipe: str, run_id: str, **options: Any) -> None:
    """Run one node of the pipeline."""
    context.with_resource(console.output_to(sys.stdout))
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '1')
    try:
        _run_task(node_id, recipe, run_id, options)
    except PipelineError as error:
        if isinstance(error, NodeFailed) and not isinstance(error.__cause__, PipelineError):
            traceback.print_exc()  # a pod's output is its log
        _fail(str(error), USAGE if isinstance(error, ConfigError) else FAILED)
    except Exception as error:
        traceback.print_exc()
        _fail(' '.join(str(error).split()) or type(error).__name__, FAILED)


def _run_task(node_id: str, recipe: str, run_id: str, options: dict[str, Any]) -> None:
    if '{{' in run_id:
        raise ConfigError(
            f'the run id {run_id} was not filled in; Kubeflow Pipelines 2.4 or newer does that'
        )
    wanted = recipe_of_task(json.loads(recipe), options)
    if node_id == DECISION:
        _require_shape(wanted, options['optional_nodes'])
        decide(wanted, options)
    else:
        run_node(wanted, node_id, run_id, options)


def _require_shape(recipe: Recipe, compiled: str) -> None:
    """Tasks were made when the pipeline was compiled; a run cannot add or remove any.

    Raises:
        ConfigError: this run would need others.
    """
    wanted = ','.join(recipe.optional_nodes)
    if wanted != compiled:
        raise ConfigError(
            'data.source, data.window, data.span_range, trainer.warm_start, tuner or inference is '
            'changed so that the pipeline would have other components '
            f'({wanted or "none"} instead of {compiled or "none"} of those that are optional); '
            'compile it again with that'
        )


def decide(recipe: Recipe, options: dict[str, Any]) -> None:
    """Writes `true` if the pipeline is to run, else `false`, and prints why; looks at the data.

    Classes and number of images are told to the other tasks: the folder may change meanwhile.
    """
    from components.image_example_gen.sources.spans import open_window

    train, reason = True, 'this run was asked for'
    if options['only_when_new'].lower() == 'true':
        from pipeline.metadata_store import open_store
        from pipeline.retraining import decision

        now = datetime.datetime.now(datetime.timezone.utc)
        found = decision.decide(recipe, open_store(recipe.metadata, recipe.home), now)
        train, reason = found.train, found.reason
    _log.info(reason)
    window = open_window(recipe.data)
    check_floors(recipe.evaluation, window[0].source.classes)
    written = {
        'train': json.dumps(train),
        'classes': json.dumps(window[0].source.classes),
        'images': str(sum(span.source.count for span in window)),
    }
    for name, text in written.items():
        path = Path(options[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run_node(recipe: Recipe, node_id: str, run_id: str, options: dict[str, Any]) -> None:
    """Launches a node; after the last one it shows the verdict as Kubeflow wants it."""
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
        from pipeline.kubeflow.run_outputs import show_verdict

        show_verdict(ir, recipe, options)


def recipe_of_task(values: dict[str, Any], options: dict[str, str]) -> Recipe:
    """The recipe that was compiled, with what this run changes.

    Args:
        values: the compiled recipe.
        options: the pipeline's parameters; what is missing or empty changes nothing.

    Raises:
        ConfigError: any value is wrong.
    """
    changes = [(key, options[name]) for name, key in _PARAMETERS.items() if options.get(name)]
    given = options.get('overrides', '[]')
    try:
        others = json.loads(given)
    except ValueError:
        others = None
    if not isinstance(others, list) or not all(isinstance(each, str) for each in others):
        raise ConfigError(f'overrides: expected a list as in ["trainer.seed=7"], got {given}')
    return recipe_of(values, [*changes, *map(parse_override, others)])


def _fail(message: str, code: int) -> None:
    click.echo(f'error: {message}', err=True)
    sys.exit(code)


if __name__ == '__main__':
    main()
