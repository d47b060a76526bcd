"""Removes what a run that was killed has left behind."""

import shutil

from pipeline.config import Recipe
from trainer.features import ACTIVATIONS_PREFIX


def remove_leftovers(recipe: Recipe) -> None:
    """Removes half-pushed models and forgotten caches; only while no other run is going on.

    The Pusher copies a SavedModel file by file, its graph last: a version without one was cut off.
    """
    for version in recipe.serving_directory.glob('*'):
        if version.name.isdigit() and not (version / 'saved_model.pb').is_file():
            shutil.rmtree(version)
    for cache in list(recipe.artifacts_directory.rglob(f'{ACTIVATIONS_PREFIX}*')):
        shutil.rmtree(cache)
