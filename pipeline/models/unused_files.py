"""Finds and removes the files of old runs that nothing needs any more. Imports no TFX."""

import dataclasses
import datetime
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact

from common.artifacts import folder_of
from common.errors import ModelError
from common.features import ACTIVATIONS, INTERRUPTED
from common.metadata_queries import artifacts_by_id
from components.pusher.serving_folder import UNFINISHED, versions_in
from components.serving_check.measurements import size_of
from pipeline.config.recipe import Recipe
from pipeline.models.provenance import Provenance
from pipeline.run.record import read_runs


@dataclasses.dataclass(frozen=True)
class UnusedFiles:
    """Folders of artifacts that no kept run and no served model needs."""

    folders: tuple[Path, ...]  # sorted
    artifacts: tuple[Artifact, ...]  # in these folders, as far as they are in the metadata
    kept_runs: int  # that evaluated a model
    megabytes: float  # size of all their files, 10^6 bytes; other folders may have links to some


def find_unused(
    recipe: Recipe, store: MetadataStore, keep: int, older_than: datetime.timedelta
) -> UnusedFiles:
    """Finds the folders of artifacts that can be removed.

    Kept are the inputs and outputs of the last `keep` runs that evaluated a model, of all runs
    since the first of them, and of those that are running; and those of the gate and the push of
    each model in the serving folder.

    What killed runs left is removed if it is older than `older_than`, because a run on another
    machine may be writing it: folders that are not in the metadata, activation caches of the Tuner,
    interrupted trainings, and unfinished versions. Folders that are not in the metadata stay in a
    `pipeline_root`, which other workdirs with this recipe may share.

    Raises:
        ModelError: the folder of the artifacts is not the one in the metadata.
    """
    pipeline = store.get_context_by_type_and_name('pipeline', recipe.name)
    if pipeline is None:
        return UnusedFiles((), (), 0, 0.0)
    artifacts = store.get_artifacts_by_context(pipeline.id)
    provenance = Provenance(store, recipe.name)
    evaluated = [*map(provenance.run_of, [*provenance.gate_decisions()][-keep:])]
    first = min((each.id for each in evaluated), default=0)
    running = {each.id for each in read_runs(recipe.home) if each.result == 'running'}
    kept = _of_served_models(recipe, provenance)
    for run in store.get_contexts_by_type('pipeline_run'):  # also of other recipes
        if run.id >= first or run.name in running:
            executions = [each.id for each in store.get_executions_by_context(run.id)]
            kept |= {each.artifact_id for each in store.get_events_by_execution_ids(executions)}
    root = recipe.artifacts_directory
    needed = _folders(artifacts_by_id(store, kept).values())
    if root not in needed:
        raise ModelError(
            f'the metadata of {recipe.name} name no needed file in {root}; perhaps it was moved, '
            'so nothing is removed'
        )
    unneeded = {each for each in root.glob('*/*/*') if each.name.isdecimal()} - needed
    known = unneeded & _folders(artifacts)
    leftovers = _leftovers(recipe)
    if not recipe.pipeline_root:
        leftovers |= unneeded - known
    oldest = time.time() - older_than.total_seconds()
    found = known | {each for each in leftovers if each.stat().st_mtime < oldest}
    folders = tuple(sorted(each for each in found if not found & set(each.parents)))
    removed = (
        each
        for each in artifacts
        if each.state != Artifact.DELETED and not _folders([each]).isdisjoint(folders)
    )
    return UnusedFiles(folders, tuple(removed), len(evaluated), sum(map(size_of, folders)))


def remove_unused(unused: UnusedFiles, store: MetadataStore) -> None:
    """Removes the folders; TFX neither reuses nor resolves artifacts that are marked as deleted.

    The mark is written first, so that an interruption leaves only files that nothing refers to.
    Raises OSError if a folder cannot be removed.
    """
    for artifact in unused.artifacts:
        artifact.state = Artifact.DELETED
    if unused.artifacts:
        store.put_artifacts(unused.artifacts)
    for folder in unused.folders:
        shutil.rmtree(folder)


def _folders(artifacts: Iterable[Artifact]) -> set[Path]:
    """The folders of artifacts, and the folders around them."""
    folders = {folder_of(each.uri) for each in artifacts}
    return folders.union(*(each.parents for each in folders))


def _leftovers(recipe: Recipe) -> set[Path]:
    root = recipe.artifacts_directory
    return {
        *root.glob(f'*/*/{INTERRUPTED}'),
        *root.rglob(f'{ACTIVATIONS}?*'),  # of the Tuner; that of trainings has a limit of its own
        *recipe.serving_directory.glob(f'{UNFINISHED}*'),
    }


def _of_served_models(recipe: Recipe, provenance: Provenance) -> set[int]:
    """Artifacts of the models in the serving folder and of the nodes that use them."""
    served = filter(None, map(provenance.model_of, versions_in(recipe.serving_directory)))
    wanted = {each.id for each in served}
    using = (node for node in provenance.nodes if node.uses(wanted))
    return wanted | {each.id for node in using for each in node.artifacts}
