"""What runs in a container of a Kubeflow task: one node of the pipeline, by TFX's own launcher.

    python -m pipeline.kubeflow.task NODE --recipe JSON --run-id ID ...

Everything is given by the compiled spec. Called again with the same run id, after the pod was
killed, a node that had finished is left as it is, and any other starts anew.
"""

import datetime
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from components.sources.base import DataError
from pipeline.config import ConfigError, Recipe, parse_override, recipe_of
from pipeline.imports import quick_imports
from pipeline.metadata_config import MetadataError

DECISION = 'decision'  # the task that says whether anything is to be done
FAILED, USAGE = 1, 2
_PARAMETERS = {  # of the pipeline, and the keys of the recipe that they change
    'data_path': 'data.path', 'workdir': 'workdir', 'pipeline_root': 'pipeline_root',
    'metadata_address': 'metadata.address', 'push_directory': 'push_directory',
}  # fmt: skip


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
@click.option('--train', type=Path, help='Where the decision is written.')
@click.option('--verdict', type=Path, help='Where metrics are written.')
@click.option('--report', type=Path, help='Where the page is written.')
@click.option('--executor-input', default='{}', help='What Kubeflow knows of the task.')
def main(node_id: str, recipe: str, run_id: str, **options: Any) -> None:
    """Run one node of the pipeline."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '1')
    try:
        wanted = recipe_of_task(json.loads(recipe), options)
    except ConfigError as error:
        _fail(str(error), USAGE)
    try:
        if node_id == DECISION:
            decide(wanted, options['only_when_new'].lower() == 'true', options['train'])
        else:
            run_node(wanted, node_id, run_id, options)
    except (DataError, MetadataError) as error:
        _fail(str(error), FAILED)
    except Exception as error:
        traceback.print_exc()  # a pod's output is its log
        _fail(f'{node_id}: {" ".join(str(error).split())}', FAILED)


def decide(recipe: Recipe, only_when_new: bool, path: Path) -> None:
    """Writes `true` if the pipeline is to run, else `false`, and prints why."""
    train, reason = True, 'this run was asked for'
    if only_when_new:
        from pipeline.metadata import open_store
        from pipeline.retraining import decision

        now = datetime.datetime.now(datetime.timezone.utc)
        found = decision.decide(recipe, open_store(recipe.metadata, recipe.home), now)
        train, reason = found.train, found.reason
    click.echo(reason)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('true' if train else 'false')


def run_node(recipe: Recipe, node_id: str, run_id: str, options: dict[str, Any]) -> None:
    """Launches a node; after the last one it shows the verdict as Kubeflow wants it."""
    from components.sources.spans import open_window

    with quick_imports():
        from pipeline.graph import create_pipeline
        from pipeline.launch import launch_node, node_of
        from pipeline.local_runner import compile_pipeline, display_name
        from pipeline.metadata import check_connection

    check_connection(recipe.metadata, recipe.home)
    window = open_window(recipe.data)
    images = sum(span.source.count for span in window)
    pipeline = create_pipeline(recipe, window[0].source.classes, images)
    ir = compile_pipeline(pipeline, run_id)
    result = launch_node(ir, node_of(ir, node_id))
    how = 'cached' if result.cached else 'done'
    click.echo(f'{display_name(node_id)} {how} in {result.seconds:.1f} s')
    if options['verdict'] is not None:
        from pipeline.kubeflow.verdict import show_verdict

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
    others = json.loads(options.get('overrides', '[]'))
    return recipe_of(values, [*changes, *map(parse_override, others)])


def _fail(message: str, code: int) -> None:
    click.echo(f'error: {message}', err=True)
    sys.exit(code)


if __name__ == '__main__':
    main()
