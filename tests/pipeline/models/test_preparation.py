"""Metadata and artifacts before a run: moved, copied and restored folders."""

import shutil
from pathlib import Path

import pytest
from ml_metadata.proto import metadata_store_pb2

from common.errors import ModelError
from pipeline.config.recipe import Recipe
from pipeline.models.preparation import prepare_metadata


def test_new_metadata_skips_execution_ids_with_folders(pets):
    (pets.recipe.artifacts_directory / 'Trainer' / 'model' / '123').mkdir(parents=True)
    (pets.recipe.artifacts_directory / 'Trainer' / 'model' / '8').mkdir()
    type_id = pets.store.put_execution_type(metadata_store_pb2.ExecutionType(name='Trainer'))

    for _ in range(2):
        prepare_metadata(pets.recipe, pets.store)

    (first,) = pets.store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
    assert 123 < first < 300
    prepare_metadata(pets.recipe, pets.store)
    (second,) = pets.store.put_executions([metadata_store_pb2.Execution(type_id=type_id)])
    assert second == first + 1


def uris(pets):
    return {each.uri for each in pets.store.get_artifacts_by_context(pets.recorder.pipeline.id)}


@pytest.mark.parametrize('transfer', [shutil.move, shutil.copytree])
def test_artifacts_are_found_where_the_workdir_is_now(pets, tmp_path, transfer):
    version = pets.push(pets.train({1: 'a'}))
    moved = Recipe(name='pets', workdir=tmp_path / 'moved')
    transfer(pets.recipe.home, moved.home)

    prepare_metadata(moved, pets.store)

    model = pets.provenance.model_of(moved.serving_directory / version.name)
    assert Path(model.uri).is_relative_to(moved.home)


def test_artifacts_in_another_root_stay_there(pets, tmp_path):
    pets.train({1: 'a'})
    before = uris(pets)
    recipe = pets.recipe.model_copy(update={'pipeline_root': tmp_path / 'other'})
    prepare_metadata(recipe, pets.store)
    assert uris(pets) == before


def test_lost_artifacts_are_an_error(pets, tmp_path):
    pets.train({1: 'a'})
    shutil.rmtree(pets.recipe.artifacts_directory)
    other = Recipe(name='pets', workdir=tmp_path / 'other')
    with pytest.raises(ModelError, match=f'is gone, .* move them to {other.home}/artifacts'):
        prepare_metadata(other, pets.store)
