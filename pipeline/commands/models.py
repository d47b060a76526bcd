"""Models: why one was blessed, which were pushed, their lineage, and manual overrides."""

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from common.errors import ConfigError, ModelError, RunError
from pipeline.commands.options import load, quiet_tensorflow, recipe_options, show

if TYPE_CHECKING:
    from ml_metadata import MetadataStore

    from pipeline.config.recipe import Recipe

_REASON = click.option(
    '--reason', metavar='TEXT', help='Why; it is kept in the metadata, with your name.'
)


@click.command()
@click.argument('model')
@recipe_options
@click.option('--json', 'as_json', is_flag=True, help='For programs.')
def lineage(model: str, as_json: bool, **options: Any) -> None:
    """Show what a pushed MODEL, a version or its folder, was made of."""
    recipe = load(**options)
    from pipeline.metadata_store import existing_store
    from pipeline.registry import lineage as view

    found = view.trace(existing_store(recipe.metadata, recipe.home), recipe.name, model)
    show(view.as_json(found) if as_json else view.as_tree(found))


@click.command()
@recipe_options
@click.option('--json', 'as_json', is_flag=True, help='For programs.')
def why(as_json: bool, **options: Any) -> None:
    """Show the last verdict: what each rule said, and what was done by hand since."""
    recipe = load(**options)
    from pipeline.metadata_store import existing_store
    from pipeline.registry import gate_history as view

    found = view.read_why(existing_store(recipe.metadata, recipe.home), recipe.name)
    show(view.as_json(found) if as_json else view.as_text(found))


@click.command()
@recipe_options
@click.option('--json', 'as_json', is_flag=True, help='For programs.')
def models(as_json: bool, **options: Any) -> None:
    """List the versions in the serving folder, and which is live."""
    recipe = load(**options)
    from pipeline.metadata_store import existing_store
    from pipeline.registry import model_list as view

    found = view.list_models(recipe, existing_store(recipe.metadata, recipe.home))
    if as_json:
        show(view.as_json(found))
    else:
        show(view.as_table(found) if found else f'no version in {recipe.serving_directory}')


@click.command()
@click.argument('version', required=False)
@recipe_options
@_REASON
def rollback(version: str | None, reason: str | None, **options: Any) -> None:
    """Make an earlier VERSION live again: the one before the live one, if none is given.

    The model that was live loses its blessing: the same run does not push it again, and no later
    model is compared with it or continues from it.
    """
    why = _required(reason)
    with _alone(options) as (recipe, store):
        from pipeline.registry.overrides import rollback as do

        pushed = do(recipe, store, version, why)
    show(f'live: {pushed.folder}')


@click.command()
@click.argument('model', required=False)
@recipe_options
@click.option('--force', is_flag=True, help='Needed: the gate is passed over.')
@_REASON
def bless(model: str | None, force: bool, reason: str | None, **options: Any) -> None:
    """Push a MODEL that the gate did not bless: the last candidate, if none is given.

    MODEL is a version, or the folder of one or of a Trainer's model.
    """
    if not force:
        raise ConfigError('this passes over the gate; add --force to do so')
    why = _required(reason)
    with _alone(options) as (recipe, store):
        from pipeline.registry.overrides import bless as do

        pushed = do(recipe, store, model, why)
    show(f'blessed; {"it was live already, in" if pushed.unchanged else "live:"} {pushed.folder}')


@click.command()
@click.argument('version', required=False)
@recipe_options
@_REASON
def unbless(version: str | None, reason: str | None, **options: Any) -> None:
    """Withdraw the blessing of a VERSION: of the live one, if none is given."""
    why = _required(reason)
    with _alone(options) as (recipe, store):
        from pipeline.registry.overrides import unbless as do

        folder, live = do(recipe, store, version, why)
    show(
        f'the blessing of {folder.name} is withdrawn'
        + ('; its model stays live until a rollback' if live else '')
    )


def _required(reason: str | None) -> str:
    if not reason or not reason.strip():
        raise ConfigError('--reason is missing: say why, for those who ask later')
    return reason.strip()


@contextlib.contextmanager
def _alone(options: dict[str, Any]) -> 'Iterator[tuple[Recipe, MetadataStore]]':
    """A recipe and its metadata, with the lock that keeps runs away.

    Raises:
        ModelError: nothing has run yet.
        RunError: the metadata cannot be written.
        PipelineError: another one of the recipe, the lock or the metadata.
    """
    recipe = load(**options)
    quiet_tensorflow()
    logging.getLogger('tensorflow').setLevel(logging.ERROR)
    from ml_metadata.errors import StatusError

    from pipeline.local.run_recipe import lock_recipe
    from pipeline.metadata_store import existing_store

    store = existing_store(recipe.metadata, recipe.home)
    if store is None:
        raise ModelError(f'no run of {recipe.name} has left anything in {recipe.home}')
    try:
        with lock_recipe(recipe):
            yield recipe, store
    except StatusError as error:
        raise RunError(
            f'the metadata cannot be written: {error}; the next run completes it'
        ) from error
