"""Finds and removes the files of old runs that nothing needs any more. Imports no TFX."""

import dataclasses
import datetime
import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact, Context

from common.artifacts import folder_of
from common.blessing import ANCHOR_MODEL_ID
from common.errors import ModelError
from common.features import ACTIVATIONS_PREFIX, INTERRUPTED
from common.files import MEGABYTE
from common.metadata_queries import artifacts_by_id, custom_property
from components.pusher.serving_folder import versions_in
from pipeline.config.recipe import Recipe
from pipeline.registry.provenance import GATE, Provenance
from pipeline.run.record import read_runs


@dataclasses.dataclass(frozen=True)
class UnusedFiles:
    """Folders of artifacts that no kept run and no served model needs."""

    folders: tuple[Path, ...]  # sorted
    artifacts: tuple[Artifact, ...]  # in these folders, as far as they are in the metadata
    kept_runs: int  # that evaluated a model
    incomplete_runs: int  # that are kept
    megabytes: float  # that their removal frees, 10^6 bytes


def find_unused(
    recipe: Recipe, store: MetadataStore, keep: int, older_than: datetime.timedelta
) -> UnusedFiles:
    """Finds the folders of artifacts that can be removed.

    Kept are the inputs and outputs of the last `keep` runs that evaluated a model and of incomplete
    runs since the last one, which the next run continues; and those of the gate and the push of
    each model in the serving folder and of each best model so far that these refer to.

    What killed runs left is removed if it is older than `older_than`, because a run on another
    machine may be writing it: folders that are not in the metadata, activation caches, and
    interrupted trainings.

    Raises:
        ModelError: the folder of the artifacts is not the one in the metadata.
    """
    pipeline = store.get_context_by_type_and_name('pipeline', recipe.name)
    if pipeline is None:
        return UnusedFiles((), (), 0, 0, 0.0)
    own = {each.id for each in store.get_executions_by_context(pipeline.id)}
    artifacts = {each.id: each for each in store.get_artifacts_by_context(pipeline.id)}
    provenance = Provenance(store, recipe.name)
    gates = {each.execution.id for each in provenance.of_kind(GATE)}
    running = {run.id for run in read_runs(recipe.home) if run.result == 'running'}
    evaluated, incomplete = _last_runs(store, own, gates, keep, running)
    served = filter(None, map(provenance.model_of, versions_in(recipe.serving_directory)))
    kept = set(_of_models({each.id for each in served}, provenance))
    for run in (*evaluated, *incomplete):
        executions = [each.id for each in store.get_executions_by_context(run.id)]
        kept |= {each.artifact_id for each in store.get_events_by_execution_ids(executions)}
    needed = {folder_of(each.uri) for each in artifacts_by_id(store, kept).values()}
    needed |= {parent for folder in needed for parent in folder.parents}
    root = recipe.artifacts_directory
    if root not in needed:
        raise ModelError(
            f'the metadata of {recipe.name} name no needed file in {root}; perhaps it was moved, '
            'so nothing is removed'
        )
    known = {folder_of(each.uri) for each in artifacts.values()}
    known |= {parent for folder in known for parent in folder.parents}
    ids = {each for each in root.glob('*/*/*') if each.name.isdecimal()} - needed
    leftovers = {*root.glob(f'*/*/{INTERRUPTED}'), *root.rglob(f'{ACTIVATIONS_PREFIX}*')}
    oldest = time.time() - older_than.total_seconds()
    old = {each for each in leftovers | (ids - known) if each.stat().st_mtime < oldest}
    found = (ids & known) | old
    folders = tuple(sorted(each for each in found if not found & set(each.parents)))
    return UnusedFiles(
        folders,
        tuple(_inside(artifacts.values(), set(folders))),
        len(evaluated),
        len(incomplete),
        _size(folders) / MEGABYTE,
    )


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
    store: MetadataStore, executions: set[int], gates: set[int], keep: int, running: set[str]
) -> tuple[list[Context], list[Context]]:
    """The last runs of the pipeline with these executions; others may share the metadata.

    Returns the last `keep` runs with one of the gates; and the runs since the last of them, with
    those that are running.
    """
    evaluated: list[Context] = []
    incomplete: list[Context] = []
    for run in sorted(store.get_contexts_by_type('pipeline_run'), key=lambda each: -each.id):
        if run.name in running:
            incomplete.append(run)
            continue
        if len(evaluated) == keep:
            continue
        ids = {each.id for each in store.get_executions_by_context(run.id)}
        if ids & gates:
            evaluated.append(run)
        elif ids & executions and not evaluated:
            incomplete.append(run)
    return evaluated, incomplete


def _of_models(served: Collection[int], provenance: Provenance) -> Iterator[int]:
    """Artifacts of models, given by id, and of the best models that they were compared with."""
    wanted = set(served)
    anchors = {
        custom_property(node.output('blessing'), ANCHOR_MODEL_ID)
        for node in provenance.gate_decisions()
        if (model := node.input('model')) is not None and model.id in wanted
    }
    wanted |= {each for each in anchors if each is not None}
    yield from wanted
    for node in provenance.nodes:
        if any(each.id in wanted for each in node.inputs.get('model', ())):
            for found in (*node.inputs.values(), *node.outputs.values()):
                yield from (each.id for each in found)


def _inside(artifacts: Iterable[Artifact], folders: set[Path]) -> Iterator[Artifact]:
    for artifact in artifacts:
        path = folder_of(artifact.uri)
        if artifact.state != Artifact.DELETED and folders & {path, *path.parents}:
            yield artifact


def _size(folders: Iterable[Path]) -> int:
    """Bytes of files without a hard link elsewhere, because spans are linked between runs."""
    links: Counter[tuple[int, int]] = Counter()
    total = 0
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                status = Path(parent, name).lstat()
                links[status.st_dev, status.st_ino] += 1
                if links[status.st_dev, status.st_ino] == status.st_nlink:
                    total += status.st_size
    return total
