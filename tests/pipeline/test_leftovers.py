"""What a killed run leaves is gone before the next one starts; what is whole stays."""

import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline import leftovers
from pipeline.config import Recipe
from pipeline.leftovers import remove_leftovers
from pipeline.provenance import Node


class History:
    """Trainings and pushes, in the place of those that ML Metadata holds."""

    def __init__(self):
        self._nodes = []

    def trained(self, number, uri):
        model = metadata_store_pb2.Artifact(id=number, uri=str(uri))
        self._nodes.append(Node(None, 'Trainer', {}, {'model': (model,)}))
        return model

    def pushed(self, model, destination):
        pushed = metadata_store_pb2.Artifact(id=model.id + 100)
        pushed.custom_properties['pushed'].int_value = 1
        pushed.custom_properties['pushed_destination'].string_value = str(destination)
        self._nodes.append(Node(None, 'Pusher', {'model': (model,)}, {'pushed_model': (pushed,)}))

    def of_kind(self, kind):
        return (node for node in self._nodes if node.kind == kind)


@pytest.fixture
def history(monkeypatch):
    history = History()
    monkeypatch.setattr(leftovers, 'Provenance', lambda store, pipeline: history)
    return history


@pytest.fixture
def recipe(tmp_path):
    return Recipe(name='pets', workdir=tmp_path)


@pytest.fixture
def store():
    config = metadata_store_pb2.ConnectionConfig()
    config.fake_database.SetInParent()
    return ml_metadata.MetadataStore(config)


def write(folder, content):
    (folder / 'variables').mkdir(parents=True)
    (folder / 'variables' / 'variables.data-00000-of-00001').write_text(content)
    (folder / 'saved_model.pb').write_text('graph')
    return folder


def test_half_pushed_models_and_forgotten_caches_are_removed(recipe, store):
    whole = write(recipe.serving_directory / '17', 'weights')
    half = recipe.serving_directory / '18'
    (half / 'variables').mkdir(parents=True)
    cache = recipe.home / 'artifacts/Trainer/model_run/7/activations-abc'
    cache.mkdir(parents=True)

    remove_leftovers(recipe, store)

    assert whole.exists()
    assert not half.exists()
    assert not cache.exists()
    assert cache.parent.exists()


def test_other_folders_beside_the_versions_are_nobodys_business(tmp_path, store):
    recipe = Recipe(name='pets', workdir=tmp_path, push_directory=tmp_path / 'models')
    notes = tmp_path / 'models' / 'notes'
    notes.mkdir(parents=True)

    remove_leftovers(recipe, store)

    assert notes.exists()


def test_a_copy_that_was_not_noted_is_removed_since_it_will_be_pushed_again(
    recipe, store, history, tmp_path
):
    history.trained(1, write(tmp_path / 'model' / 'Format-Serving', 'new').parent)
    copied = write(recipe.serving_directory / '17', 'new')

    remove_leftovers(recipe, store)

    assert not copied.exists()


def test_a_version_that_was_noted_stays(recipe, store, history, tmp_path):
    model = history.trained(1, write(tmp_path / 'model' / 'Format-Serving', 'new').parent)
    version = write(recipe.serving_directory / '17', 'new')
    history.pushed(model, version)

    remove_leftovers(recipe, store)

    assert version.exists()


def test_a_version_that_a_person_copied_to_go_back_stays(recipe, store, history, tmp_path):
    model = history.trained(1, write(tmp_path / 'model' / 'Format-Serving', 'old').parent)
    history.pushed(model, write(recipe.serving_directory / '17', 'old'))
    history.trained(2, write(tmp_path / 'candidate' / 'Format-Serving', 'worse').parent)
    back = write(recipe.serving_directory / '19', 'old')

    remove_leftovers(recipe, store)

    assert back.exists()


def test_a_span_that_was_not_ingested_to_its_end_is_removed(tmp_path, history):
    recipe = Recipe(name='pets', workdir=tmp_path)
    folder = recipe.artifacts_directory / 'ImageExampleGen'
    for key in ('examples', 'quarantine'):
        for span in ('7/span-1', '8/span-1', '8/span-2'):
            (folder / key / span).mkdir(parents=True)
    for whole in ('7/span-1', '8/span-2'):
        (folder / 'examples' / whole / 'manifest.json').touch()

    remove_leftovers(recipe, store=None)

    left = {str(each.relative_to(folder)) for each in folder.glob('*/*/*')}
    assert left == {f'{key}/{span}' for key in ('examples', 'quarantine')
                    for span in ('7/span-1', '8/span-2')}  # fmt: skip
