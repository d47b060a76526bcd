"""The command group `models`: list, show, rollback, bless and unbless; and `clean`."""

import contextlib
import datetime
import json
import logging
from collections.abc import Iterator
from typing import Any

import click
import yaml
from ml_metadata import MetadataStore

from common import stack
from common.errors import ConfigError, ModelError
from common.mirror import uri_of
from pipeline.commands.options import Command, Group, json_option, load, show, stored_options
from pipeline.config.recipe import Recipe
from pipeline.formatting import require_text, to_json
from pipeline.local.run_recipe import lock_recipe
from pipeline.models import overrides
from pipeline.models.lineage import trace
from pipeline.models.model_list import as_table, describe_bucket, list_models
from pipeline.models.preparation import prepare_metadata
from pipeline.models.provenance import Provenance, mounted_store
from pipeline.models.unused_files import find_unused, remove_unused

_REASON = click.option('--reason', metavar='TEXT', help='Required; recorded with your user name.')


@click.group(cls=Group, invoke_without_command=True)
@stored_options
@json_option
@click.pass_context
def models(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """List, show, roll back, bless or unbless versions.

    Without a command: list the versions in the serving folder.
    """
    if context.invoked_subcommand:
        if any({**options, 'json': as_json}.values()):
            name = context.invoked_subcommand
            raise click.UsageError(f'give the options after the command: models {name} ...')
        return
    recipe = load(remote=True, **options)
    mounted_store(recipe)  # the volume may be that of other machines
    versions = list_models(recipe)
    if as_json:
        show(to_json(versions))
        return
    show(as_table(versions) if versions else f'no version in {uri_of(recipe.serving_directory)}')
    if not versions and recipe.is_remote:
        return
    if bucket := describe_bucket(recipe, versions[0].version if versions else None):
        show(bucket)


@models.command('show')
@click.argument('version', required=False)
@stored_options
@json_option
def show_(version: str | None, as_json: bool, **options: Any) -> None:
    """Show how a VERSION was made.

    Images, code, hyperparameters, warm start, and comparison. VERSION is a version or its folder.
    Default: the live version.
    """
    recipe, store = _load_with_metadata(options)
    found = to_json(trace(Provenance(store, recipe.name), recipe.serving_directory, version))
    show(found if as_json else yaml.safe_dump(json.loads(found), sort_keys=False).rstrip('\n'))


@models.command()
@click.argument('version', required=False)
@stored_options
@_REASON
def rollback(version: str | None, reason: str | None, **options: Any) -> None:
    """Make an earlier VERSION live again.

    Default: the version before the live one. The live model loses its blessing: the same run does
    not push it again, and later models are neither compared with it nor warm-started from it.
    """
    with _override(options, **{'--reason TEXT': reason}) as (recipe, provenance, why):
        show(f'live: {uri_of(overrides.rollback(recipe, provenance, version, why).folder)}')


@models.command()
@click.argument('model', required=False)
@stored_options
@click.option('--force', is_flag=True, help='Required for a model that the gate rejected.')
@_REASON
def bless(model: str | None, force: bool, reason: str | None, **options: Any) -> None:
    """Bless a MODEL, and make it live.

    MODEL is a version, or the id of a run.
    """
    given = {'MODEL (a version or the id of a run)': model, '--reason TEXT': reason}
    with _override(options, **given) as (recipe, provenance, why):
        pushed = overrides.bless(recipe, provenance, model or '', why, force=force)
    show(f'blessed; {"live already:" if pushed.unchanged else "live:"} {uri_of(pushed.folder)}')


@models.command()
@click.argument('version', required=False)
@stored_options
@_REASON
def unbless(version: str | None, reason: str | None, **options: Any) -> None:
    """Withdraw the blessing of a VERSION. Default: the live version."""
    with _override(options, **{'--reason TEXT': reason}) as (recipe, provenance, why):
        folder, live = overrides.unbless(recipe, provenance, version, why)
    note = '; its model stays live until a rollback' if live else ''
    show(f'the blessing of {folder.name} is withdrawn{note}')


@click.command(cls=Command)
@stored_options
@click.option(
    '--keep', type=click.IntRange(1), default=5, show_default=True, help='Evaluated runs to keep.'
)
@click.option(
    '--older-than',
    type=click.FloatRange(0, 36_500),
    metavar='DAYS',
    default=7.0,
    show_default=True,
    help='Remove what killed runs left if it is older.',
)
@click.option('--dry-run', is_flag=True, help='List the folders, and remove nothing.')
def clean(keep: int, older_than: float, dry_run: bool, **options: Any) -> None:
    """Remove the artifacts of old runs that no pushed model needs.

    The last runs that evaluated a model, all runs since the first of them, all models in the
    serving folder and what they need are kept. Pushed models, reports, logs and the metadata are
    not touched.
    """
    with _exclusive(options, remote=False) as (recipe, store, _):
        unused = find_unused(recipe, store, keep, datetime.timedelta(days=older_than))
        if dry_run:
            for folder in unused.folders:
                show(str(folder))
        else:
            remove_unused(unused, store)
    count = len(unused.folders)
    show(
        f'{count} folder{"s" * (count != 1)} of artifacts, up to {unused.megabytes:,.1f} MB, '
        f'{"would be removed" if dry_run else "removed"}; '
        f'{unused.kept_runs} run{"s" * (unused.kept_runs != 1)} kept'
    )


def _load_with_metadata(
    options: dict[str, Any], *, remote: bool = True
) -> tuple[Recipe, MetadataStore]:
    """Loads the recipe, which may be in object storage, and its metadata.

    Raises ConfigError or ModelError if there are none.
    """
    recipe = load(remote=remote, **options)
    store = mounted_store(recipe)
    if store is None and recipe.is_remote:
        raise ConfigError(
            f'metadata.address is {recipe.metadata.address}, a file of one machine, and the runs '
            'are in object storage; give the address of their metadata, such as '
            '--set metadata.address=grpc://HOST:PORT'
        )
    if store is None or not (recipe.is_remote or recipe.home.is_dir()):
        raise ModelError(f'{recipe.name} has no runs in {recipe.home}; run the recipe first')
    return recipe, store


@contextlib.contextmanager
def _override(
    options: dict[str, Any], **needed: str | None
) -> Iterator[tuple[Recipe, Provenance, str]]:
    """Checks what an override needs, the reason last; otherwise like `_exclusive`."""
    if missing := ', '.join(name for name, value in needed.items() if not (value or '').strip()):
        raise ConfigError(f'the override needs {missing}')
    why = require_text('--reason', (needed['--reason TEXT'] or '').strip())
    with _exclusive(options, remote=True) as (recipe, _, provenance):
        yield recipe, provenance, why


@contextlib.contextmanager
def _exclusive(
    options: dict[str, Any], *, remote: bool
) -> Iterator[tuple[Recipe, MetadataStore, Provenance]]:
    """Loads the recipe and its metadata, and holds the lock of the recipe."""
    recipe, store = _load_with_metadata(options, remote=remote)
    stack.set_tensorflow_log_level(3)
    logging.getLogger('tensorflow').setLevel(logging.ERROR)
    with lock_recipe(recipe):
        yield recipe, store, prepare_metadata(recipe, store)
