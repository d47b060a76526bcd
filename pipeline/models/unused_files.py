"""Finds and removes the files of old runs that nothing needs any more. Imports no TFX."""

import dataclasses
import datetime
import shutil
import time
from pathlib import Path

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact

from common.artifacts import folder_of
from common.blessing import ANCHOR_MODEL_ID, BLESSING
from common.errors import ModelError
from common.features import ACTIVATIONS, INTERRUPTED
from common.metadata_queries import Node, artifacts_by_id, custom_property
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
    kept_runs: int
    megabytes: float  # size of all their files, 10^6 bytes; other folders may have links to some


def find_unused(
    recipe: Recipe, store: MetadataStore, keep: int, older_than: datetime.timedelta
) -> UnusedFiles:
    """Finds the folders of artifacts that can be removed.

    Kept are the inputs and outputs of the last `keep` runs that evaluated a model and of incomplete
    runs since the last one, which the next run continues; and those of the gate and the push of
    each model in the serving folder and of each best model so far that these refer to.

    What killed runs left is removed if it is older than `older_than`, because a run on another
    machine may be writing it: folders that are not in the metadata, activation caches, interrupted
    trainings, and unfinished versions.

    Raises:
        ModelError: the folder of the artifacts is not the one in the metadata.
    """
    pipeline = store.get_context_by_type_and_name('pipeline', recipe.name)
    if pipeline is None:
        return UnusedFiles((), (), 0, 0.0)
    own = {each.id for each in store.get_executions_by_context(pipeline.id)}
    artifacts = store.get_artifacts_by_context(pipeline.id)
    provenance = Provenance(store, recipe.name)
    gates = {each.execution.id for each in provenance.gate_decisions()}
    running = {run.id for run in read_runs(recipe.home) if run.result == 'running'}
    runs = _last_runs(store, own, gates, keep, running)
    served = filter(None, map(provenance.model_of, versions_in(recipe.serving_directory)))
    kept = _of_models({each.id for each in served}, provenance)
    for executions in runs:
        kept |= {each.artifact_id for each in store.get_events_by_execution_ids(executions)}
    needed = {folder_of(each.uri) for each in artifacts_by_id(store, kept).values()}
    needed |= {parent for folder in needed for parent in folder.parents}
    root = recipe.artifacts_directory
    if root not in needed:
        raise ModelError(
            f'the metadata of {recipe.name} name no needed file in {root}; perhaps it was moved, '
            'so nothing is removed'
        )
    known = {folder_of(each.uri) for each in artifacts}
    known |= {parent for folder in known for parent in folder.parents}
    ids = {each for each in root.glob('*/*/*') if each.name.isdecimal()} - needed
    leftovers = {*root.glob(f'*/*/{INTERRUPTED}'), *root.rglob(f'{ACTIVATIONS}*')}
    leftovers |= {*recipe.serving_directory.glob(f'{UNFINISHED}*')}
    oldest = time.time() - older_than.total_seconds()
    old = {each for each in leftovers | (ids - known) if each.stat().st_mtime < oldest}
    found = (ids & known) | old
    folders = tuple(sorted(each for each in found if not found & set(each.parents)))
    removed = (
        each
        for each in artifacts
        if each.state != Artifact.DELETED
        and not {folder_of(each.uri), *folder_of(each.uri).parents}.isdisjoint(folders)
    )
    return UnusedFiles(folders, tuple(removed), len(runs), sum(map(size_of, folders)))


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


def _last_runs(
    store: MetadataStore, own: set[int], gates: set[int], keep: int, running: set[str]
) -> list[list[int]]:
    """The executions of each kept run of the pipeline; others may share the metadata.

    These are the last `keep` runs with one of the gates, the runs since the last of them, and those
    that are running.
    """
    kept = []
    evaluated = 0
    for run in sorted(store.get_contexts_by_type('pipeline_run'), key=lambda each: -each.id):
        if evaluated == keep and run.name not in running:
            continue
        executions = [each.id for each in store.get_executions_by_context(run.id)]
        is_evaluated = not gates.isdisjoint(executions)
        if is_evaluated or run.name in running or (not evaluated and own & {*executions}):
            kept.append(executions)
            evaluated += is_evaluated
    return kept


def _of_models(served: set[int], provenance: Provenance) -> set[int]:
    """Artifacts of models, given by id, and of the best models that they were compared with."""
    anchors = {
        custom_property(node.output(BLESSING), ANCHOR_MODEL_ID)
        for node in provenance.gate_decisions()
        if _uses(node, served)
    }
    wanted = served | (anchors - {None})
    return wanted | {
        artifact.id
        for node in provenance.nodes
        if _uses(node, wanted)
        for artifacts in (*node.inputs.values(), *node.outputs.values())
        for artifact in artifacts
    }


def _uses(node: Node, models: set[int]) -> bool:
    return not models.isdisjoint(each.id for each in node.inputs.get('model', ()))
