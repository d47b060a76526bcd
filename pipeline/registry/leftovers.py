"""Cleans up after a killed run: caches, incomplete spans, incomplete and unrecorded pushes."""

import shutil

from ml_metadata import ListOptions, MetadataStore, OrderByField
from ml_metadata.proto.metadata_store_pb2 import Execution, ExecutionType

from common.features import ACTIVATIONS_PREFIX, MANIFEST
from components.pusher.serving_folder import versions_in
from components.pusher.versions import remove_partial_copies
from pipeline.config.recipe import Recipe
from pipeline.registry.recording import record_missing_pushes

_BESIDE_GRAPH = {'variables', 'assets', 'assets.extra', 'fingerprint.pb', 'keras_metadata.pb'}
_PLACEHOLDER, _BATCH = 'catdog.PassedOver', 100


def remove_leftovers(recipe: Recipe, store: MetadataStore) -> None:
    """Removes activation caches and incomplete spans, and completes pushes.

    The caller holds the lock of the recipe, so no other run is active.
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
    type_id = store.put_execution_type(ExecutionType(name=_PLACEHOLDER))
    execution = Execution(type_id=type_id, last_known_state=Execution.CANCELED)
    for _ in range(last, highest, _BATCH):
        store.put_executions([execution] * _BATCH)


def finish_pushes(recipe: Recipe, store: MetadataStore) -> None:
    """Removes incomplete copies and records complete versions that are not in the metadata.

    A numbered folder that holds nothing but parts of a SavedModel without the graph is an
    incomplete copy by TFX's Pusher or a user. Other numbered folders, such as photographs of a
    year, stay. An unrecorded version with a note was pushed by a run that was killed before it
    recorded the push. That version is live, so the next candidate must be compared with it. A
    version without a note was copied there by a user.
    """
    for version in versions_in(recipe.serving_directory):
        if _BESIDE_GRAPH.issuperset(path.name for path in version.iterdir()):
            shutil.rmtree(version)
    remove_partial_copies(recipe.serving_directory)
    record_missing_pushes(recipe, store)
