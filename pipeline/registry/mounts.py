"""Detects runs whose files are elsewhere: on a volume that this machine does not mount, or in the
folder that this one is a copy of. Imports no TFX.
"""

from pathlib import Path

from common.artifacts import folder_of
from common.errors import ModelError, VolumeNotMounted
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


def artifacts_root(folder: Path) -> Path:
    """The folder of all artifacts, given that of one, in the layout of TFX."""
    return [folder, *folder.parents][:4][-1]


def is_own(recipe: Recipe, uri: str) -> bool:
    """Whether an artifact is in the folder of the runs, or of the artifacts.

    The metadata in a copy of the folder have the artifacts of the original.
    """
    folder = folder_of(uri).resolve()
    own = (recipe.artifacts_directory, recipe.home)
    return any(folder.is_relative_to(each.resolve()) for each in own)


def check_own(recipe: Recipe, uri: str) -> None:
    """Checks that a model may be changed: raises ModelError if it is not of these runs.

    Raises VolumeNotMounted if the folder of its artifacts is not on this machine.
    """
    if is_own(recipe, uri):
        return
    folder = folder_of(uri)
    root = artifacts_root(folder)
    if not root.is_dir():
        raise not_mounted(root)
    raise ModelError(
        f'the model {folder} is not in {recipe.artifacts_directory}, the artifacts of this recipe: '
        'the folder of the runs was copied, or pipeline_root has changed; use the folder that '
        f'wrote it, or --set pipeline_root={root}'
    )


def not_mounted(folder: Path) -> VolumeNotMounted:
    """The error for a folder that runs have written and this machine does not have."""
    return VolumeNotMounted(
        f'{folder}, which earlier runs have written, is not on this machine; mount its volume, or '
        'run this command in a pod that does (docs/how-to/kubeflow.md, "Operation")'
    )
