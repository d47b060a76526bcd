"""Clean-up after a killed run keeps complete versions and foreign files."""

import pytest
from ml_metadata.proto import metadata_store_pb2

from common.errors import PushError
from pipeline.config.recipe import Recipe
from pipeline.registry.leftovers import remove_leftovers


@pytest.fixture
def recipe(tmp_path):
    return Recipe(name='pets', workdir=tmp_path)


@pytest.fixture
def store(recorder):
    return recorder.store


def write_model(folder):
    (folder / 'variables').mkdir(parents=True)
    (folder / 'variables' / 'variables.data-00000-of-00001').touch()
    (folder / 'saved_model.pb').touch()
    return folder


def test_removes_incomplete_versions_and_activation_caches(recipe, store):
    complete = write_model(recipe.serving_directory / '17')
    incomplete = recipe.serving_directory / '18'
    (incomplete / 'variables').mkdir(parents=True)
    cache = recipe.home / 'artifacts/Trainer/model_run/7/activations-abc'
    cache.mkdir(parents=True)

    remove_leftovers(recipe, store)

    assert complete.exists()
    assert not incomplete.exists()
    assert not cache.exists()
    assert cache.parent.exists()


@pytest.mark.parametrize(
    'file', ['notes/variables/a.txt', '2024/variables/holiday.jpg'], ids=['no number', 'number']
)
def test_keeps_folders_that_are_not_models(recipe, store, file):
    path = recipe.serving_directory / file
    path.parent.mkdir(parents=True)
    path.touch()
    (path.parents[1] / 'notes.txt').touch()

    remove_leftovers(recipe, store)

    assert path.exists()


def test_new_metadata_skips_execution_ids_with_folders(recipe, store):
    (recipe.artifacts_directory / 'Trainer' / 'model' / '123').mkdir(parents=True)
    (recipe.artifacts_directory / 'Trainer' / 'model' / '8').mkdir()
    type_id = store.put_execution_type(metadata_store_pb2.ExecutionType(name='Trainer'))

    for _ in range(2):
        remove_leftovers(recipe, store)

    (first,) = store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
    assert 123 < first < 300
    remove_leftovers(recipe, store)
    (second,) = store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
    assert second == first + 1


def test_removes_temporary_copies_of_killed_push(recipe, store):
    write_model(recipe.serving_directory / '.coming-17')

    remove_leftovers(recipe, store)

    assert not (recipe.serving_directory / '.coming-17').exists()


def test_raises_push_error_if_temporary_copies_cannot_be_removed(recipe, store, monkeypatch):
    write_model(recipe.serving_directory / '.coming-17')

    def refuse(_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr('components.pusher.versions.shutil.rmtree', refuse)
    with pytest.raises(PushError, match=f'{recipe.serving_directory}: Permission denied'):
        remove_leftovers(recipe, store)


def test_removes_incomplete_spans_with_their_quarantine(recipe, store):
    folder = recipe.artifacts_directory / 'ImageExampleGen'
    for key in ('examples', 'quarantine'):
        for span in ('7/span-1', '8/span-1', '8/span-2'):
            (folder / key / span).mkdir(parents=True)
    complete = ('7/span-1', '8/span-2')
    for span in complete:
        (folder / 'examples' / span / 'manifest.json').touch()

    remove_leftovers(recipe, store)

    left = {str(each.relative_to(folder)) for each in folder.glob('*/*/*')}
    assert left == {f'{key}/{span}' for key in ('examples', 'quarantine') for span in complete}
