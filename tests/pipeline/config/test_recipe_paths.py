"""Relative paths in recipes and in overrides."""

from pathlib import Path

import pytest
import recipe_keys

from pipeline.config import recipe
from pipeline.config.recipe import load_recipe, shipped_folder
from pipeline.config.recipe_paths import PATHS

TEXT = """
workdir: runs
push_directory: ../models
data: {source: folder, path: photographs}
trainer: {weights: mine.weights.h5}
inference: {path: ./new//images}
kubeflow: {connection: {ca_certificate: ca.pem}}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with `mine.yaml`; another one is the current folder."""
    folder, current = tmp_path / 'pets', tmp_path / 'elsewhere'
    folder.mkdir()
    current.mkdir()
    (folder / 'mine.yaml').write_text(TEXT)
    monkeypatch.chdir(current)
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    return folder


def test_each_key_of_a_path_is_listed():
    paths = {key.name for key in recipe_keys.keys_of() if key.type_in_words.startswith('path')}
    assert paths | {'trainer.weights', 'trainer.warm_start'} == set(PATHS)


def test_paths_of_a_recipe_are_relative_to_its_file(folder):
    recipe = load_recipe('../pets/mine.yaml')

    assert recipe.workdir == folder / 'runs'
    assert recipe.push_directory == folder.parent / 'models'
    assert recipe.data.path == folder / 'photographs'
    assert recipe.trainer.weights == str(folder / 'mine.weights.h5')
    assert recipe.inference.path == folder / 'new' / 'images'
    assert recipe.kubeflow.connection.ca_certificate == folder / 'ca.pem'


def test_paths_of_options_are_relative_to_the_current_folder(folder):
    overrides = [('data', {'source': 'folder', 'path': 'here'}), ('trainer.weights', '~/w.h5')]
    recipe = load_recipe(str(folder / 'mine.yaml'), [*overrides, ('workdir', 'runs')])
    given = load_recipe(str(folder / 'mine.yaml'), data='photographs')

    assert recipe.data.path == Path.cwd() / 'here'
    assert recipe.trainer.weights == str(folder.parent / 'home' / 'w.h5')
    assert recipe.workdir == Path.cwd() / 'runs'
    assert given.data.path == Path.cwd() / 'photographs'


def test_spellings_of_a_path_are_one_path(folder):
    (folder / 'link').symlink_to(folder.parent / 'elsewhere')

    def path_of(text):
        return load_recipe(str(folder / 'mine.yaml'), [('data.path', text)]).data.path

    spellings = ['../pets/a', f'{folder}/a', f'{folder}/b/../a', f'{folder}//a/']
    assert {path_of(text) for text in spellings} == {folder / 'a'}
    assert path_of(f'{folder}/link/a') == folder / 'link' / 'a'
    assert path_of(f'{folder}/link/../a') == folder.parent / 'a'


def test_names_of_weights_and_urls_are_no_paths(folder):
    overrides = [('data.path', None), ('data.url', 's3://bucket/pets'), ('workdir', 'random')]
    recipe = load_recipe(str(folder / 'mine.yaml'), [*overrides, ('trainer.weights', 'random')])

    assert recipe.trainer.weights == 'random'
    assert recipe.workdir == Path.cwd() / 'random'
    assert recipe.data.url == 's3://bucket/pets'


def test_runs_are_next_to_a_recipe_and_for_shipped_ones_in_one_folder(folder, tmp_path):
    (folder / 'short.yaml').write_text('name: short')

    assert load_recipe('../pets/short.yaml').workdir == folder / 'runs'
    for shipped in ('demo', str(recipe.RECIPES / 'demo.yaml')):
        assert load_recipe(shipped).workdir == tmp_path / 'runs'


def test_folder_of_shipped_recipes_is_the_checkout_or_for_a_package_at_home(folder, monkeypatch):
    assert shipped_folder() == recipe.RECIPES.parent
    monkeypatch.setattr(recipe, '_CHECKOUT', folder)
    assert shipped_folder() == folder.parent / 'home' / 'catdog'
