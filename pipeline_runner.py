"""The command line. Reads what is asked for, calls it, returns an exit code.

Exit codes: 0 blessed or unchanged, 1 a component failed, 2 wrong usage or configuration,
3 finished and not blessed, 130 interrupted.
"""

import contextlib
import datetime
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

BLESSED, FAILED, USAGE, NOT_BLESSED, INTERRUPTED = 0, 1, 2, 3, 130
_EXIT_CODES = (
    'Exit codes of run: 0 blessed or unchanged; 1 a component failed; 2 wrong usage or '
    'configuration; 3 finished and not blessed; 130 interrupted.'
)
_TICK_CODES = (
    'Exit codes: 0 a normal end (pushed, not better, nothing new, or another tick is going on); '
    '1 failed; 2 wrong usage or configuration; 130 interrupted; 143 stopped by SIGTERM.'
)
_SCHEDULE_CODES = (
    'Exit codes: 0 the schedule is kept by Kubeflow, or the local one was stopped by SIGTERM; '
    '1 Kubeflow is not reached or refuses; 2 wrong usage; 130 interrupted by Ctrl-C.'
)


@click.group(context_settings={'help_option_names': ['-h', '--help']}, epilog=_EXIT_CODES)
@click.version_option(package_name='catdog-pipeline')
def main() -> None:
    """Train, evaluate and push an image classifier with TFX."""


def _recipe_options(command):  # type: ignore[no-untyped-def]
    options = [
        click.option('--config', '-c', default='demo', show_default=True, metavar='RECIPE',
                     help='Path of a recipe, or the name of one in configs/.'),
        click.option('--set', 'overrides', multiple=True, metavar='KEY=VALUE',
                     help='Change one key, as in trainer.fine_tune.from_layer=120. Repeatable.'),
        click.option('--data', metavar='PATH|URL',
                     help='Images of your own: a folder with one folder per class, a zip or tar '
                          'of such (a file or an address), a Parquet file, or a folder with '
                          'Parquet files.'),
        click.option('--weights', metavar='WEIGHTS',
                     help="'imagenet', 'random' or the path of a Keras weights file."),
        click.option('--workdir', type=click.Path(path_type=Path), metavar='FOLDER',
                     help='Where runs, models and metadata are kept.'),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@main.command(epilog=_EXIT_CODES)
@_recipe_options
@click.option('--verbose', is_flag=True, help='Show what the libraries print.')
def run(verbose: bool, **options) -> None:  # type: ignore[no-untyped-def]
    """Run a recipe on this machine, from images to a pushed model."""
    recipe = _load(**options)
    from pipeline.run import CannotStart, RunFailed
    from pipeline.run import run as run_recipe

    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '0' if verbose else '1')
    try:
        outcome = run_recipe(recipe, verbose=verbose)
    except CannotStart as error:
        _fail(str(error), USAGE)
    except RunFailed as error:
        _fail(str(error), FAILED)
    except KeyboardInterrupt:
        _fail('interrupted; the same command goes on with what is finished', INTERRUPTED)
    sys.exit(BLESSED if outcome.blessed else NOT_BLESSED)


@main.command('compile')
@_recipe_options
@click.option('--engine', type=click.Choice(['kubeflow', 'vertex']), default='kubeflow',
              show_default=True, help='Kubeflow Pipelines 2, or Vertex AI Pipelines.')  # fmt: skip
@click.option('--output', '-o', type=click.Path(path_type=Path), metavar='FILE',
              help='Default: pipeline.yaml, or pipeline.json for Vertex AI.')  # fmt: skip
def compile_(engine: str, output: Path | None, **options) -> None:  # type: ignore[no-untyped-def]
    """Write a recipe as a file that a cluster takes."""
    from pipeline.imports import quick_imports

    recipe = _load(**options)
    with _told():
        if engine == 'kubeflow':
            with quick_imports():
                from pipeline.kubeflow.compiler import compile_kubeflow

            path = output or Path('pipeline.yaml')
            notes = compile_kubeflow(recipe, path)
        else:
            with quick_imports():
                from pipeline.kubeflow.vertex import compile_vertex

            path = output or Path('pipeline.json')
            notes = compile_vertex(recipe, path)
        for sentence in notes:
            click.echo(f'note: {sentence}', err=True)
    click.echo(f'{recipe.name} is written to {path}')


@main.command(epilog=_TICK_CODES)
@_recipe_options
@click.option('--verbose', is_flag=True, help='Show what the libraries print.')
def retrain(verbose: bool, **options) -> None:  # type: ignore[no-untyped-def]
    """Train if there are new spans, drift or an old model: one tick of a schedule."""
    recipe = _load(**options)
    from pipeline.retraining.tick import WorkdirUnusable
    from pipeline.retraining.tick import retrain as tick

    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '0' if verbose else '1')
    try:
        end = tick(recipe, verbose=verbose)
    except WorkdirUnusable as error:
        _fail(str(error), USAGE)
    except KeyboardInterrupt:
        _fail('interrupted after the tick had ended', INTERRUPTED)
    if end.exit_code:
        _fail(end.reason, end.exit_code)


@main.group(invoke_without_command=True, epilog=_SCHEDULE_CODES)
@_recipe_options
@click.option('--engine', type=click.Choice(['kubeflow', 'local']), default='kubeflow',
              show_default=True,
              help='Where it runs: on a cluster, or here, in the foreground.')  # fmt: skip
@click.option('--cron', metavar='CRON', help="Five fields, as in '0 2 * * 1-5', or '@daily'.")
@click.option('--timezone', default='UTC', show_default=True, metavar='ZONE',
              help='In which they are meant, as Europe/Berlin.')  # fmt: skip
@click.pass_context
def schedule(context, /, engine, cron, timezone, **options) -> None:  # type: ignore[no-untyped-def]
    """Retrain at the times of a cron expression.

    On Kubeflow a recipe has one schedule: another one takes its place.
    """
    if context.invoked_subcommand is not None:
        sources = map(context.get_parameter_source, context.params)
        if any(source is not click.core.ParameterSource.DEFAULT for source in sources):
            raise click.UsageError(f'write options after {context.invoked_subcommand}')
        return
    if cron is None:
        raise click.UsageError("--cron is missing, as in --cron '0 2 * * 1-5'")
    recipe = _load(**options)
    from pipeline.cron import parse_schedule

    with _told():
        wanted = parse_schedule(cron, timezone)
        if engine == 'local':
            from pipeline.retraining.scheduler import run_schedule

            tick = [sys.executable, str(Path(__file__).absolute()), 'retrain']
            sys.exit(run_schedule(recipe, wanted, [*tick, *_arguments(**options)]))
        from pipeline.kubeflow.operations import run_on

        kept = run_on(recipe, wanted)
        words = wanted.in_words()
        click.echo(f'{recipe.name} runs {words[0].lower() + words[1:]}, as {kept.id}')
        for moment in wanted.next_times(_now(), 3):
            click.echo(f'  {moment:%a %Y-%m-%d %H:%M %Z}')


@schedule.command('list')
@_recipe_options
def list_(**options) -> None:  # type: ignore[no-untyped-def]
    """Show the schedules on Kubeflow."""
    recipe = _load(**options)
    from pipeline.kubeflow.client import connect, list_schedules

    with _told():
        found = list_schedules(connect(recipe.kubeflow.connection))
    for each in found:
        state = '' if each.enabled else ', switched off'
        click.echo(f'{each.name}: {each.description or each.cron}{state} ({each.id})')
    if not found:
        click.echo('there are no schedules')


@schedule.command()
@click.argument('name')
@_recipe_options
def delete(name: str, **options) -> None:  # type: ignore[no-untyped-def]
    """Delete the schedule NAME on Kubeflow."""
    recipe = _load(**options)
    from pipeline.kubeflow.client import connect, delete_schedule

    with _told():
        for each in delete_schedule(connect(recipe.kubeflow.connection), name):
            click.echo(f'{each.name} is deleted ({each.id})')


@main.command()
@_recipe_options
def submit(**options) -> None:  # type: ignore[no-untyped-def]
    """Run a recipe on Kubeflow Pipelines, now."""
    recipe = _load(**options)
    from pipeline.kubeflow.operations import run_now

    with _told():
        started = run_now(recipe)
    click.echo(f'{recipe.name} runs as {started.id}: {started.url}')


@main.command()
@_recipe_options
@click.option('--last', type=click.IntRange(1), default=10, show_default=True, metavar='N',
              help='How many ticks.')  # fmt: skip
@click.option('--json', 'as_json', is_flag=True, help='For programs.')
def status(last: int, as_json: bool, **options) -> None:  # type: ignore[no-untyped-def]
    """Show the last ticks, what is live, and when the next tick comes."""
    recipe = _load(**options)
    from pipeline.metadata_config import MetadataError
    from pipeline.retraining import status as view

    try:
        found = view.read_status(recipe, _now(), last)
    except MetadataError as error:
        _fail(str(error), USAGE)
    except OSError as error:
        _fail(f'{error.filename or recipe.home} cannot be read: {error.strerror}', USAGE)
    _show(view.as_json(found) if as_json else view.as_table(found))


@main.command()
@click.argument('model')
@_recipe_options
@click.option('--json', 'as_json', is_flag=True, help='For programs.')
def lineage(model: str, as_json: bool, **options) -> None:  # type: ignore[no-untyped-def]
    """Show what a pushed MODEL, a version or its folder, was made of."""
    recipe = _load(**options)
    from pipeline import lineage as view
    from pipeline.metadata import existing_store
    from pipeline.metadata_config import MetadataError

    try:
        found = view.trace(existing_store(recipe.metadata, recipe.home), recipe.name, model)
    except (MetadataError, view.UnknownModel) as error:
        _fail(str(error), USAGE)
    _show(view.as_json(found) if as_json else view.as_tree(found))


@main.command()
@_recipe_options
def config(**options) -> None:  # type: ignore[no-untyped-def]
    """Print a recipe with every key and its value."""
    import yaml

    values = _load(**options).model_dump(mode='json')
    click.echo(yaml.safe_dump(values, sort_keys=False), nl=False)


def _load(config, overrides, data, weights, workdir):  # type: ignore[no-untyped-def]
    from pipeline.config import ConfigError, load_recipe, parse_override

    try:
        changes = [parse_override(text) for text in overrides]
        if weights is not None:
            changes.append(('trainer.weights', weights))
        if workdir is not None:
            changes.append(('workdir', str(workdir)))
        return load_recipe(config, changes, data)
    except ConfigError as error:
        _fail(str(error), USAGE)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turns what went wrong into a sentence and an exit code."""
    from components.sources.base import DataError
    from pipeline.config import ConfigError
    from pipeline.cron import CronError
    from pipeline.kubeflow.connection import KubeflowError
    from pipeline.retraining.scheduler import AlreadyScheduled

    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    try:
        yield
    except (AlreadyScheduled, ConfigError, CronError, DataError) as error:
        _fail(str(error), USAGE)
    except OSError as error:
        _fail(f'{error.filename} cannot be written: {error.strerror}', USAGE)
    except KubeflowError as error:
        _fail(str(error), FAILED)
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith('kfp'):
            raise
        _fail("kfp is not installed; pip install 'catdog-pipeline[kubeflow]' brings it", USAGE)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _arguments(config, overrides, data, weights, workdir):  # type: ignore[no-untyped-def]
    """The same options for another process."""
    given = {'--config': config, '--data': data, '--weights': weights, '--workdir': workdir}
    named = [f'{name}={value}' for name, value in given.items() if value is not None]
    return [*named, *(f'--set={each}' for each in overrides)]


def _show(what):  # type: ignore[no-untyped-def]
    """Text as it is; anything else as a person reads it."""
    if isinstance(what, str):
        click.echo(what)
        return
    from trainer import progress

    progress.console().print(what, soft_wrap=False)  # else long lines of it are cut off


def _fail(message: str, code: int) -> None:
    click.echo(f'error: {message}', err=True)
    sys.exit(code)


if __name__ == '__main__':
    main()
