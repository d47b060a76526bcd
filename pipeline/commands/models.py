"""The models that were pushed, and what a person does about them."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.options import FAILED, USAGE, fail, load, recipe_options, show

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
    from pipeline.config.metadata_config import MetadataError
    from pipeline.metadata_store import existing_store
    from pipeline.registry import lineage as view

    try:
        found = view.trace(existing_store(recipe.metadata, recipe.home), recipe.name, model)
    except (MetadataError, view.UnknownModel) as error:
        fail(str(error), USAGE)
    show(view.as_json(found) if as_json else view.as_tree(found))


@click.command()
@recipe_options
@click.option('--json', 'as_json', is_flag=True, help='For programs.')
def models(as_json: bool, **options: Any) -> None:
    """List the versions in the serving folder, and which is live."""
    recipe = load(**options)
    from common.blessing import JudgementUnreadable
    from pipeline.config.metadata_config import MetadataError
    from pipeline.metadata_store import existing_store
    from pipeline.registry import model_list as view

    try:
        found = view.list_models(recipe, existing_store(recipe.metadata, recipe.home))
    except (JudgementUnreadable, MetadataError) as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f'{error.filename} cannot be read: {error.strerror}', USAGE)
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
        fail('this passes over the gate; add --force to do so', USAGE)
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
        fail('--reason is missing: say why, for those who ask later', USAGE)
    return reason.strip()


@contextlib.contextmanager
def _alone(options: dict[str, Any]) -> 'Iterator[tuple[Recipe, MetadataStore]]':
    """A recipe and its metadata while no run is going on; tells what cannot be done."""
    recipe = load(**options)
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    logging.getLogger('tensorflow').setLevel(logging.ERROR)
    from ml_metadata.errors import StatusError

    from common.blessing import JudgementUnreadable
    from components.pusher.versions import PushError
    from pipeline.config.metadata_config import MetadataError
    from pipeline.local.run_recipe import AlreadyRunning, alone
    from pipeline.metadata_store import existing_store
    from pipeline.registry.overrides import CannotIntervene

    try:
        store = existing_store(recipe.metadata, recipe.home)
        if store is None:
            fail(f'no run of {recipe.name} has left anything in {recipe.home}', USAGE)
        with alone(recipe):
            yield recipe, store
    except (AlreadyRunning, CannotIntervene, JudgementUnreadable, MetadataError) as error:
        fail(str(error), USAGE)
    except PushError as error:
        fail(str(error), FAILED)
    except StatusError as error:
        fail(f'the metadata cannot be written: {error}; the next run completes it', FAILED)
    except OSError as error:
        fail(f'{error.filename or recipe.home} cannot be written: {error.strerror}', FAILED)
