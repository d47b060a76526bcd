"""What a killed run leaves is gone before the next one starts; what is whole stays."""

import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2

from common.errors import PushError
from pipeline.config.recipe import Recipe
from pipeline.registry.leftovers import remove_leftovers


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


def test_a_folder_with_a_number_that_holds_no_part_of_a_model_stays(recipe, store):
    photograph = recipe.serving_directory / '2024' / 'variables' / 'holiday.jpg'
    photograph.parent.mkdir(parents=True)
    photograph.touch()
    (recipe.serving_directory / '2024' / 'notes.txt').touch()

    remove_leftovers(recipe, store)

    assert photograph.exists()


def test_a_version_that_somebody_put_there_stays(recipe, store):
    back = write(recipe.serving_directory / '19', 'old')

    remove_leftovers(recipe, store)

    assert back.exists()


def test_metadata_that_begins_anew_gives_no_number_that_has_a_folder(recipe, store):
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


def test_half_copies_of_a_push_that_was_killed_are_removed(recipe, store):
    write(recipe.serving_directory / '.coming-17', 'half')

    remove_leftovers(recipe, store)

    assert not (recipe.serving_directory / '.coming-17').exists()


def test_half_copies_that_cannot_be_removed_stop_a_run_with_a_sentence(recipe, store, monkeypatch):
    write(recipe.serving_directory / '.coming-17', 'half')

    def refuse(_):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr('components.pusher.versions.shutil.rmtree', refuse)
    sentence = f'cannot push to {recipe.serving_directory}: Permission denied'
    with pytest.raises(PushError, match=f'^{sentence}$'):
        remove_leftovers(recipe, store)


def test_a_span_that_was_not_ingested_to_its_end_is_removed(tmp_path, store):
    recipe = Recipe(name='pets', workdir=tmp_path)
    folder = recipe.artifacts_directory / 'ImageExampleGen'
    for key in ('examples', 'quarantine'):
        for span in ('7/span-1', '8/span-1', '8/span-2'):
            (folder / key / span).mkdir(parents=True)
    for whole in ('7/span-1', '8/span-2'):
        (folder / 'examples' / whole / 'manifest.json').touch()

    remove_leftovers(recipe, store)

    left = {str(each.relative_to(folder)) for each in folder.glob('*/*/*')}
    assert left == {
        f'{key}/{span}' for key in ('examples', 'quarantine') for span in ('7/span-1', '8/span-2')
    }
