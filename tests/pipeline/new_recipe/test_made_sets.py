"""`init` on sets of images as people have them."""

import click.testing
import made_sets
import pytest

from pipeline.config.recipe import load_recipe
from pipeline_runner import main

EXPECTED = {  # number of classes, source, and words that are printed
    '2 classes': (2, 'folder', 'about 180 train, 60 eval, 60 test'),
    '28 classes of 40': (28, 'folder', 'images: 1,120; 28 classes: '),
    '100 classes of 20': (100, 'folder', 'images: 2,000; 100 classes: '),
    '1001 and 10': (2, 'folder', 'trainer.class_weights: balanced'),
    'nested': (4, 'folder', 'note: the classes are the folders that hold the images'),
    'CSV beside a folder': (3, 'csv', 'classes from column emotion'),
    'Parquet with own splits': (4, 'parquet', '160 test'),
    'masks beside images': (2, 'folder', 'note: 240 images, such as class 0/0.png, lie beside'),
}


def test_each_set_is_expected():
    assert set(made_sets.SETS) == set(EXPECTED)


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[pytest.mark.slow] * (classes > 4))
        for name, (classes, *_) in EXPECTED.items()
    ],
)
def test_writes_a_recipe_that_can_be_loaded(tmp_path, monkeypatch, name):
    classes, source, words = EXPECTED[name]
    made_sets.SETS[name](tmp_path / name)
    monkeypatch.chdir(tmp_path)

    done = click.testing.CliRunner().invoke(main, ['init', name, '--weights', 'embedded'])

    assert done.exit_code == 0, done.output
    assert words in done.stdout
    recipe = load_recipe('recipe.yaml')
    assert (len(recipe.data.class_names), recipe.data.source) == (classes, source)
    imbalanced = name == '1001 and 10'
    assert (recipe.evaluation.metric == 'balanced_accuracy') == imbalanced
    assert (recipe.evaluation.minimum, recipe.evaluation.margin) == (None, 0.05)
    assert (tmp_path / 'recipe.png').stat().st_size > 10_000
