"""Relative paths in recipes and in overrides."""

from pathlib import Path

import pytest

from pipeline.config import recipe
from pipeline.config.recipe import load_recipe, shipped_folder

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
    (folder / 'ca.pem').touch()
    monkeypatch.chdir(current)
    return folder


def test_paths_of_a_recipe_are_relative_to_its_file(folder):
    recipe = load_recipe('../pets/mine.yaml')

    assert recipe.workdir == folder / 'runs'
    assert recipe.push_directory == folder.parent / 'models'
    assert recipe.data.path == folder / 'photographs'
    assert recipe.trainer.weights == str(folder / 'mine.weights.h5')
    assert recipe.inference.path == folder / 'new' / 'images'
    assert recipe.kubeflow.connection.ca_certificate == folder / 'ca.pem'


def test_paths_of_options_are_relative_to_the_current_folder(folder):
    overrides = [('data', {'source': 'folder', 'path': 'here'}), ('trainer.weights', 'w.h5')]
    recipe = load_recipe(str(folder / 'mine.yaml'), [*overrides, ('workdir', 'runs')])
    given = load_recipe(str(folder / 'mine.yaml'), data='photographs')

    assert recipe.data.path == Path.cwd() / 'here'
    assert recipe.trainer.weights == str(Path.cwd() / 'w.h5')
    assert recipe.workdir == Path.cwd() / 'runs'
    assert given.data.path == Path.cwd() / 'photographs'


def test_spellings_of_a_path_are_one_path_except_after_a_link(folder):
    (folder / 'link').symlink_to(folder.parent / 'elsewhere')

    def path_of(text):
        return load_recipe(str(folder / 'mine.yaml'), [('data.path', text)]).data.path

    spellings = ['../pets/a', f'{folder}/a', f'{folder}/b/../a', f'{folder}//a/']
    assert {path_of(text) for text in spellings} == {folder / 'a'}
    assert path_of(f'{folder}/link/../a') == folder / 'link' / '..' / 'a'


def test_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv('HOME', str(folder))
    (folder / 'home.yaml').write_text(
        'workdir: ~/runs\ndata: {source: folder, path: ~/a}\ntrainer: {weights: ~/w.h5}'
    )

    recipe = load_recipe(str(folder / 'home.yaml'), [('push_directory', '~/models')])
    given = load_recipe(str(folder / 'home.yaml'), [('data.path', '~/b'), ('workdir', '~')])

    assert recipe.workdir == folder / 'runs'
    assert recipe.data.path == folder / 'a'
    assert recipe.trainer.weights == str(folder / 'w.h5')
    assert recipe.push_directory == folder / 'models'
    assert given.data.path == folder / 'b'
    assert given.workdir == folder


def test_names_of_weights_and_urls_are_no_paths(folder):
    assert load_recipe('demo').trainer.weights == 'embedded'
    overrides = [('data.path', None), ('data.url', 's3://bucket/pets')]
    assert load_recipe(str(folder / 'mine.yaml'), overrides).data.url == 's3://bucket/pets'


def test_runs_of_a_recipe_without_workdir_are_next_to_it(folder):
    (folder / 'short.yaml').write_text('name: short')

    assert load_recipe('../pets/short.yaml').workdir == folder / 'runs'


def test_runs_of_a_shipped_recipe_do_not_depend_on_the_current_folder(folder, tmp_path):
    path = str(recipe.RECIPES / 'demo.yaml')

    assert load_recipe('demo').workdir == load_recipe(path).workdir == tmp_path / 'runs'
    assert shipped_folder() == recipe.RECIPES.parent


def test_runs_of_shipped_recipes_of_an_installed_package_are_at_home(folder, monkeypatch):
    monkeypatch.setenv('HOME', str(folder))
    monkeypatch.setattr(recipe, '_CHECKOUT', folder)

    assert shipped_folder() == folder / 'catdog'
