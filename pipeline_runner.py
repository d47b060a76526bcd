"""The command line. Reads what is asked for, calls it, returns an exit code.

Exit codes: 0 blessed or unchanged, 1 a component failed, 2 wrong usage or configuration,
3 finished and not blessed, 130 interrupted.
"""

import os
import sys
from pathlib import Path

import click

BLESSED, FAILED, USAGE, NOT_BLESSED, INTERRUPTED = 0, 1, 2, 3, 130
_EXIT_CODES = (
    'Exit codes: 0 blessed or unchanged; 1 a component failed; 2 wrong usage or configuration; '
    '3 finished and not blessed; 130 interrupted.'
)
_TICK_CODES = (
    'Exit codes: 0 a normal end (pushed, not better, nothing new, or another tick is going on); '
    '1 failed; 2 wrong usage or configuration; 130 interrupted; 143 stopped by SIGTERM.'
)
_SCHEDULE_CODES = 'Exit codes: 0 stopped by SIGTERM; 2 wrong usage; 130 interrupted by Ctrl-C.'


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
        click.option('--data', type=click.Path(path_type=Path), metavar='PATH',
                     help='Images of your own: a folder with one folder per class, a Parquet '
                          'file, or a folder with Parquet files.'),
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
@click.option(
    '--engine',
    type=click.Choice(['local']),
    default='local',
    show_default=True,
    help='Where ticks run: in this process, in the foreground.',
)
@click.option('--cron', metavar='CRON', help="Five fields, as in '0 2 * * 1-5', or '@daily'.")
@click.option(
    '--timezone',
    default='UTC',
    show_default=True,
    metavar='ZONE',
    help='In which they are meant, as Europe/Berlin.',
)
@click.pass_context
def schedule(context, /, engine, cron, timezone, **options) -> None:  # type: ignore[no-untyped-def]
    """Call retrain at the times of a cron expression, until it is stopped."""
    if context.invoked_subcommand is not None:
        return
    if cron is None:
        raise click.UsageError("--cron is missing, as in --cron '0 2 * * 1-5'")
    recipe = _load(**options)
    from pipeline.cron import CronError, parse_schedule
    from pipeline.retraining.scheduler import AlreadyScheduled, run_schedule

    command = [sys.executable, str(Path(__file__).absolute()), 'retrain', *_arguments(**options)]
    try:
        sys.exit(run_schedule(recipe, parse_schedule(cron, timezone), command))
    except (CronError, AlreadyScheduled) as error:
        _fail(str(error), USAGE)
    except OSError as error:
        _fail(f'workdir {recipe.home} cannot be used: {error.strerror}', USAGE)


@main.command()
@_recipe_options
@click.option('--last', default=10, show_default=True, metavar='N', help='How many ticks.')
@click.option('--json', 'as_json', is_flag=True, help='For programs.')
def status(last: int, as_json: bool, **options) -> None:  # type: ignore[no-untyped-def]
    """Show the last ticks, what is live, and when the next tick comes."""
    recipe = _load(**options)
    from datetime import datetime, timezone

    from pipeline.metadata_config import MetadataError
    from pipeline.retraining import status as view

    try:
        found = view.read_status(recipe, datetime.now(timezone.utc), last)
    except MetadataError as error:
        _fail(str(error), USAGE)
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
    from components.sources.config import data_overrides
    from pipeline.config import ConfigError, load_recipe, parse_override

    try:
        changes = [parse_override(text) for text in overrides]
        if data is not None:
            changes += data_overrides(data)
        if weights is not None:
            changes.append(('trainer.weights', weights))
        if workdir is not None:
            changes.append(('workdir', str(workdir)))
        return load_recipe(config, changes)
    except ConfigError as error:
        _fail(str(error), USAGE)


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
