"""Cleans up after a killed run: caches, incomplete spans, unrecorded pushes. Imports no TFX."""

import shutil

from ml_metadata import ListOptions, MetadataStore, OrderByField
from ml_metadata.proto.metadata_store_pb2 import Execution, ExecutionType

from common.features import ACTIVATIONS_PREFIX, MANIFEST
from components.pusher.serving_folder import About
from pipeline.config.recipe import Recipe
from pipeline.registry.provenance import Provenance
from pipeline.registry.recording import model_at, record_push

_BATCH = 100  # executions per request


def remove_leftovers(recipe: Recipe, store: MetadataStore) -> None:
    """Removes activation caches of the Tuner and incomplete spans; records unrecorded pushes.

    The cache of an interrupted Trainer stays, because the next one may continue with it. The caller
    holds the lock of the recipe, so no other run is active.
    """
    skip_used_execution_ids(recipe, store)
    for cache in list(recipe.artifacts_directory.rglob(f'{ACTIVATIONS_PREFIX}*')):
        shutil.rmtree(cache)
    example_gen = recipe.artifacts_directory / 'ImageExampleGen'
    for span in example_gen.glob('examples/*/span-*'):
        if not (span / MANIFEST).is_file():
            shutil.rmtree(span)
            quarantined = example_gen / 'quarantine' / span.parent.name / span.name
            shutil.rmtree(quarantined, ignore_errors=True)
    finish_pushes(recipe, store)


def skip_used_execution_ids(recipe: Recipe, store: MetadataStore) -> None:
    """Adds placeholder executions until new execution ids have no artifact folder yet.

    TFX names artifact folders after execution ids. New or restored metadata counts from a lower
    id, so that a component would write into the folder of an earlier execution.
    """
    folders = recipe.artifacts_directory.glob('*/*/*')
    highest = max((int(path.name) for path in folders if path.name.isdecimal()), default=0)
    options = ListOptions(limit=1, order_by=OrderByField.ID, is_asc=False)
    last = max((each.id for each in store.get_executions(list_options=options)), default=0)
    if last >= highest:
        return
    type_id = store.put_execution_type(ExecutionType(name='catdog.PassedOver'))
    execution = Execution(type_id=type_id, last_known_state=Execution.CANCELED)
    for _ in range(last, highest, _BATCH):
        store.put_executions([execution] * _BATCH)


def finish_pushes(recipe: Recipe, store: MetadataStore) -> None:
    """Records versions that this recipe pushed and that are not in the metadata.

    The process was killed between push and recording. Such a version is live, so the next candidate
    must be compared with it. A version without a note was copied there by a user.
    """
    provenance = Provenance(store, recipe.name)
    for version in provenance.versions(recipe.serving_directory):
        about = version.note.about if version.note else About()
        if version.pusher is None and about.recipe == recipe.name:
            trainer = provenance.producer(model_at(store, about.model))
            run = '' if about.manual_override else provenance.run_id(trainer)
            record_push(store, recipe, version.folder, run)
