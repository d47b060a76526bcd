"""Commands on models: gate decision, list of versions, lineage and manual overrides."""

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from common.errors import ConfigError, ModelError, RunError
from pipeline.commands.options import json_option, load, quiet_tensorflow, recipe_options, show

if TYPE_CHECKING:
    from ml_metadata import MetadataStore

    from pipeline.config.recipe import Recipe

_REASON = click.option(
    '--reason', metavar='TEXT', help='Required; recorded in the metadata with your user name.'
)


@click.command()
@click.argument('model')
@recipe_options
@json_option
def lineage(model: str, as_json: bool, **options: Any) -> None:
    """Show the lineage of a pushed MODEL, given as a version or its folder."""
    recipe = load(**options)
    from pipeline.formatting import to_json
    from pipeline.metadata_store import existing_store
    from pipeline.registry.lineage import as_tree, trace

    found = trace(existing_store(recipe.metadata, recipe.home), recipe.name, model)
    show(to_json(found) if as_json else as_tree(found))


@click.command()
@recipe_options
@json_option
def why(as_json: bool, **options: Any) -> None:
    """Show the latest gate decision, rule by rule, and the manual override of it."""
    recipe = load(**options)
    from pipeline.formatting import to_json
    from pipeline.metadata_store import existing_store
    from pipeline.registry.gate_history import as_text, latest_decision

    decision = latest_decision(existing_store(recipe.metadata, recipe.home), recipe.name)
    show(to_json(decision) if as_json else as_text(decision))


@click.command()
@recipe_options
@json_option
def models(as_json: bool, **options: Any) -> None:
    """List the versions in the serving folder."""
    recipe = load(**options)
    from pipeline.formatting import to_json
    from pipeline.metadata_store import existing_store
    from pipeline.registry.model_list import as_table, list_models

    versions = list_models(recipe, existing_store(recipe.metadata, recipe.home))
    if as_json:
        show(to_json(versions))
    else:
        show(as_table(versions) if versions else f'no version in {recipe.serving_directory}')


@click.command()
@click.argument('version', required=False)
@recipe_options
@_REASON
def rollback(version: str | None, reason: str | None, **options: Any) -> None:
    """Make an earlier VERSION live again. Default: the version before the live one.

    The live model loses its blessing: the same run does not push it again, and later models are
    neither compared with it nor warm-started from it.
    """
    reason = _required(reason)
    with _locked(options) as (recipe, store):
        from pipeline.registry.overrides import rollback as do

        pushed = do(recipe, store, version, reason)
    show(f'live: {pushed.folder}')


@click.command()
@click.argument('model', required=False)
@recipe_options
@click.option('--force', is_flag=True, help='Required, because this overrides the gate.')
@_REASON
def bless(model: str | None, force: bool, reason: str | None, **options: Any) -> None:
    """Push a MODEL that the gate rejected. Default: the last candidate.

    MODEL is a version, or the folder of a version or of a Trainer's model.
    """
    if not force:
        raise ConfigError('bless overrides the gate; add --force to confirm')
    reason = _required(reason)
    with _locked(options) as (recipe, store):
        from pipeline.registry.overrides import bless as do

        pushed = do(recipe, store, model, reason)
    show(f'blessed; {"live already:" if pushed.unchanged else "live:"} {pushed.folder}')


@click.command()
@click.argument('version', required=False)
@recipe_options
@_REASON
def unbless(version: str | None, reason: str | None, **options: Any) -> None:
    """Withdraw the blessing of a VERSION. Default: the live version."""
    reason = _required(reason)
    with _locked(options) as (recipe, store):
        from pipeline.registry.overrides import unbless as do

        folder, live = do(recipe, store, version, reason)
    show(
        f'the blessing of {folder.name} is withdrawn'
        + ('; its model stays live until a rollback' if live else '')
    )


def _required(reason: str | None) -> str:
    if not reason or not reason.strip():
        raise ConfigError('--reason is missing; give the reason for the override')
    return reason.strip()


@contextlib.contextmanager
def _locked(options: dict[str, Any]) -> 'Iterator[tuple[Recipe, MetadataStore]]':
    """Loads the recipe and its metadata, and holds the lock of the recipe.

    Raises:
        ModelError: the recipe has not run yet.
        RunError: the metadata cannot be written.
        PipelineError: the recipe, the lock or the metadata cannot be used.
    """
    recipe = load(**options)
    quiet_tensorflow()
    logging.getLogger('tensorflow').setLevel(logging.ERROR)
    from ml_metadata.errors import StatusError

    from pipeline.local.run_recipe import lock_recipe
    from pipeline.metadata_store import existing_store

    store = existing_store(recipe.metadata, recipe.home)
    if store is None:
        raise ModelError(f'{recipe.name} has no runs in {recipe.home}; run the recipe first')
    try:
        with lock_recipe(recipe):
            yield recipe, store
    except StatusError as error:
        raise RunError(
            f'the metadata cannot be written: {error}; the next run completes it'
        ) from error
