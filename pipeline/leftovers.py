"""Removes what a run that was killed has left behind."""

import filecmp
import shutil
from pathlib import Path

from ml_metadata import MetadataStore

from components.ingestion.config import MANIFEST
from pipeline.config import Recipe
from pipeline.provenance import PUSHER, TRAINER, Provenance, custom
from trainer.features import ACTIVATIONS_PREFIX

_GRAPH, _SERVED = 'saved_model.pb', 'Format-Serving'


def remove_leftovers(recipe: Recipe, store: MetadataStore) -> None:
    """Removes forgotten caches, spans that were not ingested and models not pushed to the end.

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
    remove_unfinished_pushes(recipe, store)


def remove_unfinished_pushes(recipe: Recipe, store: MetadataStore) -> None:
    """Removes versions that were half copied, or copied and not noted in the metadata.

    The Pusher copies a SavedModel file by file, its graph last: a version without one was cut off.
    One that is whole, unknown, and a copy of a model whose push is unknown too would be pushed a
    second time. Any other version was put there by a person, and stays.
    """
    provenance = Provenance(store, recipe.name)
    pushers = list(provenance.of_kind(PUSHER))
    noted = {custom(pushed, 'pushed_destination') for each in pushers
             if (pushed := each.output('pushed_model'))}  # fmt: skip
    known = {model.id for each in pushers if (model := each.input('model'))
             and custom(each.output('pushed_model'), 'pushed')}  # fmt: skip
    trained = [each.output('model') for each in provenance.of_kind(TRAINER)]
    unnoted = [Path(model.uri) / _SERVED for model in trained if model and model.id not in known]
    for version in recipe.serving_directory.glob('*'):
        if not version.name.isdigit() or str(version) in noted:
            continue
        whole = (version / _GRAPH).is_file()
        if not whole or any(_same(version, model) for model in unnoted):
            shutil.rmtree(version)


def _same(version: Path, model: Path) -> bool:
    """Whether all files of a model are in a version, byte for byte."""
    files = [file.relative_to(model) for file in model.rglob('*') if file.is_file()]
    _, other, missing = filecmp.cmpfiles(version, model, files, shallow=False)
    return bool(files) and not other and not missing
