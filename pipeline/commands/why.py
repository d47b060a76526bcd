"""Why a model was blessed, or was not."""

from typing import Any

import click

from pipeline.commands.options import load, recipe_options, show


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
