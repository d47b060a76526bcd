"""Prepares the metadata for a run: artifacts that moved, execution ids in use."""

from pathlib import Path

from ml_metadata import ListOptions, MetadataStore, OrderByField
from ml_metadata.proto.metadata_store_pb2 import Artifact, Execution, ExecutionType

from common.artifacts import folder_of
from common.errors import ModelError
from common.storage import storage_of
from pipeline.config.metadata_config import SQLITE
from pipeline.config.recipe import Recipe
from pipeline.models.provenance import Provenance

_BATCH = 100  # executions per request


def prepare_metadata(recipe: Recipe, store: MetadataStore) -> Provenance:
    """Lets ML Metadata and the files of a recipe fit, for commands that write to both.

    Raises:
        ModelError: the artifacts were moved, and are not in the folder of this recipe.
    """
    _follow_artifacts(recipe, store)
    _skip_used_execution_ids(recipe, store)
    return Provenance(store, recipe.name)


def _follow_artifacts(recipe: Recipe, store: MetadataStore) -> None:
    """Changes the URIs of artifacts that were moved, or copied, together with the metadata.

    ML Metadata has absolute paths. Metadata on a server do not move with the folder, nor does a
    prefix of object storage.
    """
    if recipe.is_remote:
        return
    pipeline = store.get_context_by_type_and_name('pipeline', recipe.name)
    found = store.get_artifacts_by_context(pipeline.id) if pipeline else []
    artifacts = [each for each in found if each.uri and each.state != Artifact.DELETED]
    root = recipe.artifacts_directory
    moved = []
    lost = None
    for artifact in artifacts:
        folder = folder_of(artifact.uri)
        if folder.is_relative_to(root):
            continue
        here = _below(root, folder)
        if here and recipe.metadata.address == SQLITE:
            artifact.uri = str(here)
            moved.append(artifact)
        elif not folder.exists():
            lost = folder
    if moved:
        store.put_artifacts(moved)
    elif lost and not any(folder_of(each.uri).exists() for each in artifacts):
        raise ModelError(
            f'{lost}, which an earlier run has written, is gone, with all other artifacts; move '
            f'them to {root}, or set the workdir or pipeline_root that has them'
        )


def _below(root: Path, folder: Path) -> Path | None:
    """The same artifact below another root: COMPONENT/OUTPUT/ID, or a folder in it."""
    for levels in (3, 4):
        here = root.joinpath(*folder.parts[-levels:])
        if here.exists():
            return here
    return None


def _skip_used_execution_ids(recipe: Recipe, store: MetadataStore) -> None:
    """Adds placeholder executions until new execution ids have no artifact folder yet.

    TFX names artifact folders after execution ids. New or restored metadata counts from a lower
    id, so that a component would write into the folder of an earlier execution.
    """
    root = recipe.artifacts_directory
    if recipe.is_remote:
        parts = (name.split('/') for name in storage_of(root).names())
        names = [each[2] for each in parts if len(each) > 3]
    else:
        names = [path.name for path in root.glob('*/*/*')]
    highest = max((int(name) for name in names if name.isdecimal()), default=0)
    options = ListOptions(limit=1, order_by=OrderByField.ID, is_asc=False)
    last = max((each.id for each in store.get_executions(list_options=options)), default=0)
    if last >= highest:
        return
    type_id = store.put_execution_type(ExecutionType(name='catdog.PassedOver'))
    execution = Execution(type_id=type_id, last_known_state=Execution.CANCELED)
    for _ in range(last, highest, _BATCH):
        store.put_executions([execution] * _BATCH)
