"""Commands for Kubeflow and schedules."""

import sys
from pathlib import Path
from typing import Any

import click

from common import console, stack
from pipeline.commands.options import (
    RECIPE_CODES,
    PathType,
    arguments,
    choose_recipe,
    load,
    recipe_options,
    show,
)

_CLUSTER_CODES = (
    'Exit codes: 0 done; 1 a request to Kubeflow failed; 2 wrong usage or configuration; '
    '130 interrupted.'
)
_SCHEDULE_CODES = (
    'Exit codes: 0 done, or the local schedule was ended by SIGTERM; 1 a request to Kubeflow '
    'failed; 2 wrong usage, configuration, data or weights; 130 interrupted.'
)
_RUNNER = Path(__file__).absolute().parents[2] / 'pipeline_runner.py'


@click.command('compile', epilog=RECIPE_CODES)
@recipe_options
@click.option(
    '--output',
    '-o',
    type=PathType(path_type=Path),
    default='pipeline.yaml',
    show_default=True,
    help='The file to write.',
)
def compile_(output: Path, **options: Any) -> None:
    """Compile a recipe for Kubeflow Pipelines 2."""
    recipe = load(**options)
    stack.set_tensorflow_log_level(3)
    from pipeline.kubeflow.compiler import compile_kubeflow

    for note in compile_kubeflow(recipe, output):
        click.echo(console.printable(f'note: {note}'), err=True)
    show(f'{recipe.name} is written to {output}')


@click.group(invoke_without_command=True, epilog=_SCHEDULE_CODES)
@recipe_options
@click.option(
    '--engine',
    type=click.Choice(['kubeflow', 'local']),
    help='Required. kubeflow: schedule on a cluster; local: on this machine, in the foreground.',
)
@click.option('--cron', metavar='CRON', help="Five fields, as in '0 2 * * 1-5'.")
@click.option('--timezone', default='UTC', show_default=True, help='As in Europe/Berlin.')
@click.pass_context
def schedule(
    context: click.Context, /, engine: str | None, cron: str | None, timezone: str, **options: Any
) -> None:
    """Schedule retraining with a cron expression.

    A recipe has one schedule on Kubeflow; a new schedule replaces it.
    """
    if context.invoked_subcommand is not None:
        sources = map(context.get_parameter_source, context.params)
        if any(source is not click.core.ParameterSource.DEFAULT for source in sources):
            raise click.UsageError(f'write options after {context.invoked_subcommand}')
        return
    if engine is None:
        raise click.UsageError(
            '--engine is missing: --engine local schedules on this machine, in the foreground; '
            '--engine kubeflow on a cluster'
        )
    if cron is None:
        raise click.UsageError("--cron is missing, as in --cron '0 2 * * 1-5'")
    recipe = load(**options)
    from pipeline.retraining.cron import parse_schedule, utc_now

    wanted = parse_schedule(cron, timezone)
    stack.set_tensorflow_log_level(3)
    if engine == 'local':
        from pipeline.retraining.scheduler import check_at_start, run_schedule

        check_at_start(recipe)
        # All ticks take this recipe, also one that --config did not name.
        options['config'], _ = choose_recipe(options['config'])
        tick = [sys.executable, str(_RUNNER), 'run', '--if-new', *arguments(**options)]
        sys.exit(run_schedule(recipe, wanted, tick))
    from pipeline.kubeflow.operations import run_on_schedule

    created = run_on_schedule(recipe, wanted)
    words = wanted.in_words()
    show(f'{recipe.name} runs {words[0].lower() + words[1:]}, as {created.id}')
    for moment in wanted.next_times(utc_now()):
        show(f'  {moment:%a %Y-%m-%d %H:%M %Z}')


@schedule.command('list', epilog=_CLUSTER_CODES)
@recipe_options
def list_(**options: Any) -> None:
    """List the schedules on Kubeflow."""
    recipe = load(**options)
    from pipeline.kubeflow.client import KubeflowClient

    found = KubeflowClient(recipe.kubeflow.connection).list_schedules()
    for each in found:
        state = '' if each.enabled else ', disabled'
        show(f'{each.name}: {each.description or each.cron}{state} ({each.id})')
    if not found:
        show('there are no schedules')


@schedule.command(epilog=_CLUSTER_CODES)
@click.argument('name')
@recipe_options
def delete(name: str, **options: Any) -> None:
    """Delete the schedule NAME on Kubeflow."""
    recipe = load(**options)
    from pipeline.kubeflow.client import KubeflowClient

    for each in KubeflowClient(recipe.kubeflow.connection).delete_schedule(name):
        show(f'{each.name} is deleted ({each.id})')


@click.command(epilog=_CLUSTER_CODES)
@recipe_options
def submit(**options: Any) -> None:
    """Run a recipe on Kubeflow Pipelines now."""
    recipe = load(**options)
    from pipeline.kubeflow.operations import run_now

    stack.set_tensorflow_log_level(3)
    started = run_now(recipe)
    show(f'{recipe.name} runs as {started.id}: {started.url}')
