"""Clean-up after a killed run."""

import pytest
from ml_metadata.proto import metadata_store_pb2

from pipeline.config.recipe import Recipe
from pipeline.registry.leftovers import remove_leftovers


@pytest.fixture
def recipe(tmp_path):
    return Recipe(name='pets', workdir=tmp_path)


def test_removes_activation_caches_and_keeps_user_files(recipe, recorder):
    photograph = recipe.serving_directory / '2024' / 'variables' / 'holiday.jpg'
    cache = recipe.home / 'artifacts/Trainer/model_run/7/activations-abc'
    for folder in (photograph.parent, cache):
        folder.mkdir(parents=True)
    photograph.touch()

    remove_leftovers(recipe, recorder.store)

    assert photograph.exists()
    assert not cache.exists()
    assert cache.parent.exists()


def test_new_metadata_skips_execution_ids_with_folders(recipe, recorder):
    (recipe.artifacts_directory / 'Trainer' / 'model' / '123').mkdir(parents=True)
    (recipe.artifacts_directory / 'Trainer' / 'model' / '8').mkdir()
    type_id = recorder.store.put_execution_type(metadata_store_pb2.ExecutionType(name='Trainer'))

    for _ in range(2):
        remove_leftovers(recipe, recorder.store)

    (first,) = recorder.store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
    assert 123 < first < 300
    remove_leftovers(recipe, recorder.store)
    (second,) = recorder.store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
    assert second == first + 1


def test_removes_incomplete_spans_with_their_quarantine(recipe, recorder):
    folder = recipe.artifacts_directory / 'ImageExampleGen'
    for key in ('examples', 'quarantine'):
        for span in ('7/span-1', '8/span-1', '8/span-2'):
            (folder / key / span).mkdir(parents=True)
    complete = ('7/span-1', '8/span-2')
    for span in complete:
        (folder / 'examples' / span / 'manifest.json').touch()

    remove_leftovers(recipe, recorder.store)

    left = {str(each.relative_to(folder)) for each in folder.glob('*/*/*')}
    assert left == {f'{key}/{span}' for key in ('examples', 'quarantine') for span in complete}
