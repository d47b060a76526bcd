"""The fixed values that `auto` is compared with."""

from defaults import print_row, variants
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
        Run(seconds, 0.0, 0.0, {'accuracy': accuracy, 'nodes': {'Trainer': seconds / 2}})
        for seconds, accuracy in ((10.0, 0.9), (30.0, 0.8), (20.0, 1.0))
    ]

    print_row(tmp_path / 'signs.zip', 'deep', runs)

    row = '| signs.zip | deep | 0.9000 | 0.9000, 0.8000, 1.0000 | 10 | 20 |\n'
    assert capsys.readouterr().out == row
