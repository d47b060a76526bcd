"""Opens the metadata of a recipe whose files are on this machine. Imports no TFX."""

from ml_metadata import MetadataStore

from common.errors import VolumeNotMounted
from pipeline import metadata_store
from pipeline.config.recipe import Recipe


def mounted_store(recipe: Recipe) -> MetadataStore | None:
    """Connects to the metadata of a recipe; None if there are none.

    Raises VolumeNotMounted if only the metadata have runs of the recipe.
    """
    store = metadata_store.existing_store(recipe.metadata, recipe.home)
    if recipe.is_remote or recipe.home.is_dir() or store is None:
        return store
    if store.get_context_by_type_and_name('pipeline', recipe.name):
        raise VolumeNotMounted(
            f'{recipe.home}, which earlier runs have written, is not on this machine; mount its '
            'volume, or run this command in a pod that does (docs/how-to/kubeflow.md, "Operation")'
        )
    return store
