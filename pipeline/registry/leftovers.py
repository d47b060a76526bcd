"""Removes what a run that was killed has left behind, and keeps clear of what others have left."""

import shutil
from pathlib import Path

from ml_metadata import ListOptions, MetadataStore, OrderByField
from ml_metadata.proto.metadata_store_pb2 import Execution, ExecutionType

from common.features import ACTIVATIONS_PREFIX, MANIFEST
from components.pusher.serving_folder import versions_in
from components.pusher.versions import remove_partial_copies
from pipeline.config.recipe import Recipe
from pipeline.registry.recording import note_pushes

_BESIDE_GRAPH = {'variables', 'assets', 'assets.extra', 'fingerprint.pb', 'keras_metadata.pb'}
_PASSED_OVER, _AT_ONCE = 'catdog.PassedOver', 100


def remove_leftovers(recipe: Recipe, store: MetadataStore) -> None:
    """Removes forgotten caches and spans that were not ingested; finishes pushes.

    Only while no other run is going on.
    """
    pass_over_numbers(recipe, store)
    for cache in list(recipe.artifacts_directory.rglob(f'{ACTIVATIONS_PREFIX}*')):
        shutil.rmtree(cache)
    for span in recipe.artifacts_directory.glob('ImageExampleGen/examples/*/span-*'):
        if not (span / MANIFEST).is_file():
            shutil.rmtree(span)
            execution = span.parent.name
            aside = recipe.artifacts_directory / 'ImageExampleGen' / 'quarantine' / execution
            shutil.rmtree(aside / span.name, ignore_errors=True)
    finish_pushes(recipe, store)


def pass_over_numbers(recipe: Recipe, store: MetadataStore) -> None:
    """Uses up numbers of executions that have folders of an earlier metadata file.

    TFX names folders after executions. In metadata that begins anew, or that was put back from a
    copy, these count from below, and a component would write into what another one has left.
    """
    folders = recipe.artifacts_directory.glob('*/*/*')
    highest = max((int(path.name) for path in folders if path.name.isdecimal()), default=0)
    options = ListOptions(limit=1, order_by=OrderByField.ID, is_asc=False)
    last = max((each.id for each in store.get_executions(list_options=options)), default=0)
    if last >= highest:
        return
    type_id = store.put_execution_type(ExecutionType(name=_PASSED_OVER))
    execution = Execution(type_id=type_id, last_known_state=Execution.CANCELED)
    for _ in range(last, highest, _AT_ONCE):
        store.put_executions([execution] * _AT_ONCE)


def finish_pushes(recipe: Recipe, store: MetadataStore) -> None:
    """Removes half copies, and notes whole versions that the metadata knows nothing of.

    A version without its graph was cut off while TFX's own Pusher, or a person, copied it; a number
    with other things in it, such as photographs of a year, is no version. One that is whole and
    says that it came from here was cut off between the push and the note: it is live, so the next
    candidate has to be compared with it. Any other was put there by a person.
    """
    for version in versions_in(recipe.serving_directory):
        if _is_half(version):
            shutil.rmtree(version)
    remove_partial_copies(recipe.serving_directory)
    note_pushes(recipe, store)


def _is_half(version: Path) -> bool:
    """Whether a folder holds parts of a SavedModel alone, and not its graph."""
    return _BESIDE_GRAPH.issuperset(path.name for path in version.iterdir())
