"""The recipe of a command: --config, CATDOG_RECIPE, recipe.yaml in the current folder, the demo."""

import shlex

import click.testing
import pytest
import yaml

from pipeline.retraining import scheduler
from pipeline_runner import main


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    """`chosen(*options)`: name of the recipe that a command takes, and its line about it.

    The current folder has the recipes `here.yaml` and `other.yaml`.
    """
    monkeypatch.chdir(tmp_path)

    def call(*options):
        done = click.testing.CliRunner().invoke(main, ['config', *options])
        assert done.exit_code == 0, done.output
        return yaml.safe_load(done.stdout)['name'], done.stderr

    for name in ('here', 'other'):
        (tmp_path / f'{name}.yaml').write_text(f'description: {name}')
    return call


def test_default_is_the_demo(chosen):
    assert chosen() == ('demo', 'recipe: demo, the default\n')


def test_takes_the_recipe_in_the_current_folder(chosen, tmp_path):
    (tmp_path / 'recipe.yaml').write_text('name: pets')

    assert chosen() == ('pets', f'recipe: {tmp_path}/recipe.yaml, in the current folder\n')


def test_environment_variable_goes_first_and_config_before_it(chosen, tmp_path, monkeypatch):
    (tmp_path / 'recipe.yaml').write_text('name: pets')
    monkeypatch.setenv('CATDOG_RECIPE', 'here.yaml')

    assert chosen() == (
        'here',
        'recipe: here.yaml, by the environment variable CATDOG_RECIPE\n',
    )
    assert chosen('--config', 'other.yaml') == ('other', '')


def test_unknown_recipe_in_the_environment_is_reported(monkeypatch):
    monkeypatch.setenv('CATDOG_RECIPE', 'smal')
    done = click.testing.CliRunner().invoke(main, ['models'])

    assert done.exit_code == 2
    words = 'error: the environment variable CATDOG_RECIPE: recipe smal does not exist; did you '
    assert done.stderr.startswith(f'{words}mean small? ')


def test_ticks_of_a_schedule_take_the_recipe_that_was_chosen(tmp_path, monkeypatch):
    commands = []
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'recipe.yaml').write_text('name: pets')
    monkeypatch.setattr(scheduler, 'run_schedule', lambda *given: commands.append(given[2]) or 0)
    words = shlex.split("schedule --cron '0 2 * * *' --set trainer.seed=1")

    done = click.testing.CliRunner().invoke(main, words)

    assert done.exit_code == 0, done.output
    (command,) = commands
    assert command[2:] == [
        'run',
        '--if-new',
        f'--config={tmp_path}/recipe.yaml',
        '--set=trainer.seed=1',
    ]
