"""The recipe of a command: --config, CATDOG_RECIPE, recipe.yaml in the current folder, the demo."""

import click.testing
import pytest
import yaml

from components.image_example_gen.sources.detect import CLASS_AND_NUMBER
from pipeline.formatting import dotted
from pipeline.retraining import scheduler
from pipeline_runner import main


def call(*words):
    return click.testing.CliRunner().invoke(main, words)


@pytest.mark.parametrize(
    ('found', 'variable', 'options', 'name', 'line'),
    [
        ([], None, [], 'demo', 'recipe: demo, the default\n'),
        (['recipe'], None, [], 'recipe', 'recipe: {}/recipe.yaml, in the current folder\n'),
        (
            ['recipe', 'here'],
            'here.yaml',
            [],
            'here',
            'recipe: here.yaml, by the environment variable CATDOG_RECIPE\n',
        ),
        (['recipe', 'here', 'other'], 'here.yaml', ['--config', 'other.yaml'], 'other', ''),
    ],
)
def test_recipe_is_chosen_in_this_order(
    tmp_path, monkeypatch, found, variable, options, name, line
):
    monkeypatch.chdir(tmp_path)
    for each in found:
        (tmp_path / f'{each}.yaml').write_text(f'description: {each}')
    if variable:
        monkeypatch.setenv('CATDOG_RECIPE', variable)

    done = call('config', *options)

    assert (yaml.safe_load(done.stdout)['name'], done.stderr) == (name, line.format(tmp_path))


def test_unknown_recipe_in_the_environment_is_reported(monkeypatch):
    monkeypatch.setenv('CATDOG_RECIPE', 'smal')
    done = call('models')

    assert done.exit_code == 2
    words = 'error: the environment variable CATDOG_RECIPE: recipe smal does not exist; '
    assert done.stderr.startswith(words)


def test_ticks_of_a_schedule_take_the_recipe_that_was_chosen(tmp_path, monkeypatch):
    commands = []
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'recipe.yaml').write_text('name: pets')
    monkeypatch.setattr(scheduler, 'run_schedule', lambda *given: commands.append(given[2]) or 0)

    done = call('schedule', '--cron', '0 2 * * *', '--set', 'trainer.seed=1')

    assert done.exit_code == 0, done.output
    (command,) = commands
    config = f'--config={tmp_path}/recipe.yaml'
    assert command[2:] == ['run', '--if-new', config, '--set=trainer.seed=1']


@pytest.mark.parametrize(
    ('option', 'key', 'value'),
    [
        ('--config=~/pets.yaml', 'description', 'mine'),
        ('--workdir=~/runs', 'workdir', '~/runs'),
        ('--data=~/cats', 'data.path', '~/cats'),
        ('--data=~/cats', 'data.label_pattern', CLASS_AND_NUMBER),
    ],
)
def test_home_folder_in_options(tmp_path, monkeypatch, option, key, value):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'pets.yaml').write_text('description: mine')
    (tmp_path / 'cats').mkdir()
    for name in ('cat.1.jpg', 'cat.2.jpg', 'dog.1.jpg', 'dog.2.jpg'):
        (tmp_path / 'cats' / name).touch()

    done = call('config', option)

    values = dotted(yaml.safe_load(done.stdout))
    assert (done.exit_code, values[key]) == (0, value.replace('~', str(tmp_path)))
