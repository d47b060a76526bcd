"""Commands on models: list of versions, lineage and manual overrides."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from common import stack
from common.errors import ConfigError, ModelError, RunError
from pipeline.commands.options import (
    OPERATION_CODES,
    json_option,
    load_to_operate,
    recipe_options,
    show,
)

if TYPE_CHECKING:
    from ml_metadata import MetadataStore

    from pipeline.config.recipe import Recipe

_REASON = click.option(
    '--reason', metavar='TEXT', help='Required; recorded in the metadata with your user name.'
)


@click.command(epilog=OPERATION_CODES)
@click.argument('model')
@recipe_options
@json_option
def lineage(model: str, as_json: bool, **options: Any) -> None:
    """Show the lineage of a pushed MODEL, given as a version or its folder."""
    recipe, store = _load_with_metadata(options)
    from pipeline.registry.lineage import as_tree, trace

    _show(trace(store, recipe.name, model), as_tree, as_json)


@click.command(epilog=OPERATION_CODES)
@recipe_options
@json_option
def models(as_json: bool, **options: Any) -> None:
    """List the versions in the serving folder.

    If the folder is not on this machine, lists the last pushes in the metadata.
    """
    recipe, store = _load_with_metadata(options)
    from pipeline.registry.model_list import as_table, describe_bucket, list_models
    from pipeline.registry.mounts import check_mounted
    from pipeline.registry.provenance import Provenance

    provenance = Provenance(store, recipe.name)
    versions = list_models(recipe, provenance)
    if versions or as_json:
        _show(versions, as_table, as_json)
    else:
        show(f'no version in {recipe.serving_directory}')
    live = versions[0].version if versions else None
    if not as_json and (bucket := describe_bucket(recipe, live)):
        show(bucket)
    check_mounted(recipe, provenance)


@click.command(epilog=OPERATION_CODES)
@click.argument('version', required=False)
@recipe_options
@_REASON
def rollback(version: str | None, reason: str | None, **options: Any) -> None:
    """Make an earlier VERSION live again. Default: the version before the live one.

    The live model loses its blessing: the same run does not push it again, and later models are
    neither compared with it nor warm-started from it.
    """
    with _override(options, reason) as (recipe, store, why):
        from pipeline.registry import overrides

        show(f'live: {overrides.rollback(recipe, store, version, why).folder}')


@click.command(epilog=OPERATION_CODES)
@click.argument('model', required=False)
@recipe_options
@click.option('--force', is_flag=True, help='Required, because this overrides the gate.')
@_REASON
def bless(model: str | None, force: bool, reason: str | None, **options: Any) -> None:
    """Push a MODEL that the gate rejected, whatever the last run is.

    MODEL is a version, or the folder of a version or of a Trainer's model.
    """
    given = {
        'MODEL (a version, or the folder of a model)': model,
        '--force': force,
        '--reason TEXT': reason,
    }
    if missing := ', '.join(name for name, value in given.items() if not value):
        raise ConfigError(f'bless overrides the gate; add {missing}')
    assert model
    with _override(options, reason) as (recipe, store, why):
        from pipeline.registry import overrides

        pushed = overrides.bless(recipe, store, model, why)
    show(f'blessed; {"live already:" if pushed.unchanged else "live:"} {pushed.folder}')


@click.command(epilog=OPERATION_CODES)
@click.argument('version', required=False)
@recipe_options
@_REASON
def unbless(version: str | None, reason: str | None, **options: Any) -> None:
    """Withdraw the blessing of a VERSION. Default: the live version."""
    with _override(options, reason) as (recipe, store, why):
        from pipeline.registry import overrides

        folder, live = overrides.unbless(recipe, store, version, why)
    note = '; its model stays live until a rollback' if live else ''
    show(f'the blessing of {folder.name} is withdrawn{note}')


@click.command(epilog=OPERATION_CODES)
@recipe_options
@click.option(
    '--keep',
    type=click.IntRange(1),
    default=5,
    help='Evaluated runs to keep; default: 5.',
)
@click.option('--dry-run', is_flag=True, help='List the folders, and remove nothing.')
def clean(keep: int, dry_run: bool, **options: Any) -> None:
    """Remove the artifacts of old runs that no pushed model needs.

    Also removes what an interrupted training left, so that it starts again. The last runs that
    evaluated a model, incomplete runs since then, all models in the serving folder and the best
    model so far are kept. Pushed models, reports, logs and the metadata are not touched.
    """
    with _exclusive(options) as (recipe, store):
        from pipeline.registry.unused_files import find_unused, remove_unused

        unused = find_unused(recipe, store, keep)
        if dry_run:
            for folder in unused.folders:
                show(str(folder))
        else:
            remove_unused(unused, store)
    count = len(unused.folders)
    incomplete = f', and {unused.incomplete_runs} incomplete' if unused.incomplete_runs else ''
    show(
        f'{count} folder{"s" * (count != 1)} of artifacts, {unused.megabytes:,.1f} MB, '
        f'{"would be removed" if dry_run else "removed"}; '
        f'{unused.kept_runs} run{"s" * (unused.kept_runs != 1)} kept{incomplete}'
    )


def _load_with_metadata(options: dict[str, Any]) -> 'tuple[Recipe, MetadataStore | None]':
    """Loads the recipe, and its metadata if there are any."""
    recipe = load_to_operate(**options)
    from pipeline.metadata_store import existing_store

    return recipe, existing_store(recipe.metadata, recipe.home)


def _show(result: Any, formatted: Callable[[Any], Any], as_json: bool) -> None:
    from pipeline.formatting import to_json

    show(to_json(result) if as_json else formatted(result))


@contextlib.contextmanager
def _override(
    options: dict[str, Any], reason: str | None
) -> 'Iterator[tuple[Recipe, MetadataStore, str]]':
    """Checks the reason; otherwise like `_exclusive`."""
    if not reason or not reason.strip():
        raise ConfigError('--reason is missing; give the reason for the override')
    from pipeline.formatting import require_text

    why = require_text('--reason', reason.strip())
    with _exclusive(options) as (recipe, store):
        yield recipe, store, why


@contextlib.contextmanager
def _exclusive(options: dict[str, Any]) -> 'Iterator[tuple[Recipe, MetadataStore]]':
    """Loads the recipe and its metadata, and holds the lock of the recipe."""
    stack.set_tensorflow_log_level(3)
    logging.getLogger('tensorflow').setLevel(logging.ERROR)
    recipe, store = _load_with_metadata(options)
    from ml_metadata.errors import StatusError

    from pipeline.local.run_recipe import lock_recipe
    from pipeline.registry.mounts import check_mounted
    from pipeline.registry.provenance import Provenance

    check_mounted(recipe, Provenance(store, recipe.name))
    if store is None or not recipe.home.is_dir():
        raise ModelError(f'{recipe.name} has no runs in {recipe.home}; run the recipe first')
    try:
        with lock_recipe(recipe):
            yield recipe, store
    except StatusError as error:
        raise RunError(
            f'the metadata cannot be written: {error}; the next run completes it'
        ) from error
