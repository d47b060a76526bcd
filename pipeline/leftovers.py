"""Removes what a run that was killed has left behind."""

import shutil

from ml_metadata import MetadataStore

from components.ingestion.config import MANIFEST
from components.push.files import GRAPH
from components.push.versions import remove_half_copies, versions_in
from pipeline.config import Recipe
from pipeline.recording import note_pushes
from trainer.features import ACTIVATIONS_PREFIX


def remove_leftovers(recipe: Recipe, store: MetadataStore) -> None:
    """Removes forgotten caches and spans that were not ingested; finishes pushes.

    Only while no other run is going on.
    """
    for cache in list(recipe.artifacts_directory.rglob(f'{ACTIVATIONS_PREFIX}*')):
        shutil.rmtree(cache)
    for span in recipe.artifacts_directory.glob('ImageExampleGen/examples/*/span-*'):
        if not (span / MANIFEST).is_file():
            shutil.rmtree(span)
            execution = span.parent.name
            aside = recipe.artifacts_directory / 'ImageExampleGen' / 'quarantine' / execution
            shutil.rmtree(aside / span.name, ignore_errors=True)
    finish_pushes(recipe, store)


def finish_pushes(recipe: Recipe, store: MetadataStore) -> None:
    """Removes half copies, and notes whole versions that the metadata knows nothing of.

    A version without its graph was cut off while TFX's own Pusher, or a person, copied it. One that
    is whole and says that it came from here was cut off between the push and the note: it is live,
    so the next candidate has to be compared with it. Any other was put there by a person.
    """
    for version in versions_in(recipe.serving_directory):
        if not (version / GRAPH).is_file():
            shutil.rmtree(version)
    remove_half_copies(recipe.serving_directory)
    note_pushes(recipe, store)
