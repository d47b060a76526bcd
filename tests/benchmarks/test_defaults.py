"""The fixed values that `auto` is compared with."""

import argparse
from pathlib import Path

import defaults
import pytest
from defaults import absolute, compare, print_row, variants
from timed_commands import Run

from pipeline.config.recipe import load_recipe, parse_override


def test_grid_has_two_depths_lengths_and_sizes_that_a_recipe_takes():
    unchanged, *cells = variants(96, grid=True)
    recipes = [
        load_recipe('cats_vs_dogs', [parse_override(f'trainer.{each}') for each in changes])
        for changes in cells
    ]

    assert unchanged == []
    assert len({each.trainer.model_dump_json() for each in recipes}) == 8
    assert {each.trainer.image_size for each in recipes} == {96, 160}
    assert not any(each.trainer.fine_tune.auto for each in recipes)
    assert variants(96, grid=False) == [[], cells[0]]


def test_row_has_the_mean_over_seeds_and_median_seconds(tmp_path, capsys):
    runs = [
        Run(seconds, 2 * seconds, 0.0, {'accuracy': accuracy, 'nodes': {'Trainer': seconds / 2}})
        for seconds, accuracy in ((10.0, 0.9), (30.0, 0.8), (20.0, 1.0))
    ]

    print_row(str(tmp_path / 'signs.zip'), 'deep', runs)

    row = '| signs.zip | deep | 0.9000 | 0.9000, 0.8000, 1.0000 | 10 | 20 | 40 |\n'
    assert capsys.readouterr().out == row


def test_script_takes_the_size_of_init_and_no_choice_is_a_row_too(tmp_path, capsys, monkeypatch):
    trainer = {'feature_extraction': {}, 'fine_tune': {}}

    def run(workdir, *words):
        sizes = [word for word in words if 'image_size=160' in str(word)]
        values = {**trainer, 'image_size': 160 if sizes else 96}
        return Run(1.0, 0.0, 0.0, {'accuracy': 0.5, 'config': {'trainer': values}})

    def run_script(first, workdir, images):
        size = first.result['config']['trainer']['image_size']
        return Run(float(size), 0.0, 0.0, {'accuracy': 0.5})

    monkeypatch.setattr(defaults, 'timed', lambda *words: None)
    monkeypatch.setattr(defaults, 'load_recipe', lambda path: load_recipe('demo'))
    monkeypatch.setattr(defaults, 'run_pipeline', run)
    monkeypatch.setattr(defaults, 'run_plain', run_script)
    options = argparse.Namespace(weights='embedded', seeds=1, grid=True, script=True)

    compare('https://host/signs.zip', tmp_path, options)

    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith('| signs.zip | the recipe of init | 0.5000 |')
    assert rows[-1].endswith('| 96 | 96 | 0 |')


@pytest.mark.parametrize(
    ('place', 'expected'),
    [('https://host/a.zip', 'https://host/a.zip'), ('a.zip', str(Path.cwd() / 'a.zip'))],
)
def test_commands_get_a_url_or_an_absolute_path(place, expected):
    assert absolute(place) == expected
