"""Why a model was blessed, or was not."""

from typing import Any

import click

from pipeline.commands.options import USAGE, fail, load, recipe_options, show


@click.command()
@recipe_options
@click.option('--json', 'as_json', is_flag=True, help='For programs.')
def why(as_json: bool, **options: Any) -> None:
    """Show the last verdict: what each rule said, and what was done by hand since."""
    recipe = load(**options)
    from common.blessing import OverrideUnreadable
    from pipeline.config.metadata_config import MetadataError
    from pipeline.metadata_store import existing_store
    from pipeline.registry import gate_history as view

    try:
        found = view.read_why(existing_store(recipe.metadata, recipe.home), recipe.name)
    except (OverrideUnreadable, MetadataError, view.NoVerdict) as error:
        fail(str(error), USAGE)
    except OSError as error:
        fail(f'{error.filename} cannot be read: {error.strerror}', USAGE)
    show(view.as_json(found) if as_json else view.as_text(found))
