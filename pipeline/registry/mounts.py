"""Detects runs whose files are on a volume that this machine does not mount. Imports no TFX."""

from pathlib import Path

from common.errors import VolumeNotMounted
from pipeline.config.recipe import Recipe
from pipeline.registry.provenance import Provenance


def missing_folder(recipe: Recipe, provenance: Provenance) -> Path | None:
    """The folder of the runs or of the pushed models, if only the metadata has its content."""
    if provenance.nodes and not recipe.home.is_dir():
        return recipe.home
    serving = recipe.serving_directory
    return serving if provenance.pushed_to(serving) and not serving.is_dir() else None


def check_mounted(recipe: Recipe, provenance: Provenance) -> None:
    """Raises VolumeNotMounted if the files of the runs or the pushed models are missing."""
    folder = missing_folder(recipe, provenance)
    if folder is not None:
        raise not_mounted(folder)


def not_mounted(folder: Path) -> VolumeNotMounted:
    """The error for a folder that runs have written and this machine does not have."""
    return VolumeNotMounted(
        f'{folder}, which earlier runs have written, is not on this machine; mount its volume, or '
        'run this command in a pod that does (docs/kubeflow.md, "Operation")'
    )
