"""What a killed run leaves is gone before the next one starts; what is whole stays."""

from pipeline.config import Recipe
from pipeline.leftovers import remove_leftovers


def test_half_pushed_models_and_forgotten_caches_are_removed(tmp_path):
    recipe = Recipe(name='pets', workdir=tmp_path)
    whole, half = (recipe.serving_directory / version for version in ('17', '18'))
    (whole / 'variables').mkdir(parents=True)
    (whole / 'saved_model.pb').touch()
    (half / 'variables').mkdir(parents=True)
    cache = recipe.home / 'artifacts/Trainer/model_run/7/activations-abc'
    cache.mkdir(parents=True)

    remove_leftovers(recipe)

    assert whole.exists()
    assert not half.exists()
    assert not cache.exists()
    assert cache.parent.exists()


def test_other_folders_beside_the_versions_are_nobodys_business(tmp_path):
    recipe = Recipe(name='pets', workdir=tmp_path, push_directory=tmp_path / 'models')
    notes = tmp_path / 'models' / 'notes'
    notes.mkdir(parents=True)

    remove_leftovers(recipe)

    assert notes.exists()
