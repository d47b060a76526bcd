"""The models that were pushed."""

from typing import Any

import click

from pipeline.commands.options import USAGE, fail, load, recipe_options, show


@click.command()
@click.argument('model')
@recipe_options
@click.option('--json', 'as_json', is_flag=True, help='For programs.')
def lineage(model: str, as_json: bool, **options: Any) -> None:
    """Show what a pushed MODEL, a version or its folder, was made of."""
    recipe = load(**options)
    from pipeline import lineage as view
    from pipeline.metadata import existing_store
    from pipeline.metadata_config import MetadataError

    try:
        found = view.trace(existing_store(recipe.metadata, recipe.home), recipe.name, model)
    except (MetadataError, view.UnknownModel) as error:
        fail(str(error), USAGE)
    show(view.as_json(found) if as_json else view.as_tree(found))
