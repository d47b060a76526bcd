"""Detects runs whose files are on a volume that this machine does not mount. Imports no TFX."""

from ml_metadata import MetadataStore

from common.errors import VolumeNotMounted
from pipeline.config.recipe import Recipe


def check_mounted(recipe: Recipe, store: MetadataStore | None) -> None:
    """Raises VolumeNotMounted if only the metadata have runs of the recipe."""
    if recipe.home.is_dir() or store is None:
        return
    if store.get_context_by_type_and_name('pipeline', recipe.name):
        raise VolumeNotMounted(
            f'{recipe.home}, which earlier runs have written, is not on this machine; mount its '
            'volume, or run this command in a pod that does (docs/how-to/kubeflow.md, "Operation")'
        )
