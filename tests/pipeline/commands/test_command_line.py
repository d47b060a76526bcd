"""The command line: help, `config`, and input that a run rejects before its first component."""

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click.testing
import pytest
import yaml

from common import stack
from pipeline.config.recipe import RECIPES, load_recipe
from pipeline_runner import COMMANDS, main
from trainer.model.weights import EMBEDDED_FILE

REPOSITORY = Path(__file__).parents[3]
OTHER_WIDTH = str(EMBEDDED_FILE)  # its alpha is 0.35
WITH_DATA = {'run', 'compile', 'submit', 'schedule', 'config'}
HEAVY = {'tensorflow', 'tfx', 'keras', 'apache_beam'}
SLOW = HEAVY | {'numpy', 'requests', 'ml_metadata', 'PIL'}


@pytest.fixture
def rejected(call, tmp_path):
    """`rejected(*options)`: the error of a run that starts no component and leaves only its log."""

    def run(*options: object) -> str:
        done = call('run', *options)
        (line,) = done.err.splitlines()
        assert done.code == 2, done
        assert not re.search(r' \.\.\.| done', done.out), 'a component started'
        assert {path.name for path in tmp_path.glob('my runs/*/*')} <= {'.lock', 'logs'}
        for log in tmp_path.glob('my runs/*/logs/*'):
            assert '\nTraceback' in log.read_text()
        return line.removeprefix('error: ')

    return run


@pytest.mark.parametrize(
    ('words', 'most', 'absent'),
    [
        ('--help', 260, {*SLOW, 'rich', 'yaml'}),
        ('config --config dmeo', 500, SLOW),
        ('runs --workdir runs', 500, SLOW),
        ('run --set trainer.sed=1', 750, HEAVY),
        ('run --data no_such_folder --workdir runs', 1200, HEAVY),
        ('run --if-new --data no_such_folder --workdir runs', 1200, HEAVY),
        ('init no_such_folder', 1300, HEAVY),
    ],
)
def test_quick_answers_import_few_modules(words, most, absent, tmp_path):
    program = (
        'import sys, pipeline_runner\n'
        'try: pipeline_runner.main(sys.argv[1:])\n'
        'finally: print(*sys.modules)'
    )
    command = [sys.executable, '-c', program, *words.split()]
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    imported = done.stdout.splitlines()[-1].split()
    assert 'pipeline_runner' in imported
    assert not absent & set(imported)
    assert len(imported) < most


def help_of(*words):
    return click.testing.CliRunner().invoke(main, [*words, '--help'], terminal_width=80).stdout


@pytest.mark.parametrize('command', COMMANDS)
def test_help_of_a_command_is_grouped_and_has_data_options_only_where_they_matter(command):
    text = help_of(command)
    own, _, of_recipe = text.partition('\nRecipe:\n')
    shared = set(re.findall(r'^ +(?:-., )?(--\w+)', of_recipe, re.MULTILINE))

    with_data = {'--data', '--weights'} if command in WITH_DATA else set()
    overrides = {'--set'} if command != 'runs' else set()
    expected = {'--config', '--workdir', *overrides, *with_data} if command != 'init' else set()
    assert shared == expected
    assert '--help' in own
    assert len(text.splitlines()) <= 32


@pytest.mark.parametrize('command', ['models', 'report', 'predict cat.jpg', 'serve', 'clean'])
@pytest.mark.parametrize(
    'data', ['source: folder', "source: archive, url: 'https://***@host/a.zip'"]
)
def test_commands_without_data_options_need_no_data(call, tmp_path, monkeypatch, command, data):
    monkeypatch.delenv('CATDOG_DATA_URL', raising=False)
    (tmp_path / 'pets.yaml').write_text(f'data: {{{data}}}')
    done = call(*command.split(), '--config', tmp_path / 'pets.yaml')

    assert f'{tmp_path}/my runs/pets' in done.out + done.err
    assert 'data.' not in done.err


def test_summaries_of_commands_are_those_of_their_help():
    shown = ' '.join(help_of().split())
    for command in COMMANDS:
        summary = ' '.join(help_of(command).split('\n\n')[1].split())
        assert f' {command} {summary} ' in shown


def test_version_names_project_and_stack():
    done = click.testing.CliRunner().invoke(main, ['--version'])

    assert done.output == f'catdog-pipeline {version("catdog-pipeline")}, {stack.describe()}\n'


@pytest.mark.parametrize('name', sorted(path.stem for path in RECIPES.glob('*.yaml')))
def test_printed_config_loads_as_the_same_recipe(call, name, tmp_path):
    (tmp_path / 'printed.yaml').write_text(call('config', '--config', name).out)

    workdir = ('workdir', str(tmp_path / 'my runs'))
    assert load_recipe(str(tmp_path / 'printed.yaml')) == load_recipe(name, [workdir])


@pytest.mark.parametrize(
    ('given', 'key', 'source', 'classes'),
    [
        ('{tmp}/pets.parquet', 'path', 'parquet', ['cat', 'dog']),
        ('https://host/pets.zip', 'url', 'archive', None),
        ('{tmp}/pets', 'path', 'folder', None),
    ],
)
def test_data_and_weights_replace_those_of_the_recipe(call, tmp_path, given, key, source, classes):
    (tmp_path / 'pets.parquet').touch()
    recipe = tmp_path / 'mine.yaml'
    recipe.write_text('data: {source: tfds, dataset: cats, classes: [cat, dog]}')
    options = ['--config', recipe, '--data', given.format(tmp=tmp_path), '--weights', 'random']
    values = yaml.safe_load(call('config', *options).out)

    data = values['data']
    assert (data['source'], data[key]) == (source, given.format(tmp=tmp_path))
    assert (data['dataset'], data['classes']) == (None, classes)
    assert values['trainer']['weights'] == 'random'


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ('--set seed', '--set: expected KEY=VALUE'),
        ('--config cats_vs_dogs --weights embedded', 'the backbone is MobileNetV2 1.0'),
        ('--set inference.path={tmp}/none', 'inference.path: {tmp}/none does not exist'),
        ('--data {tmp}/single', 'has 1 class (cats)'),
        ('--data {tmp}/pets --weights {tmp}/empty.h5', '{tmp}/empty.h5 is not HDF5'),
        (
            '--data {tmp}/pets --set trainer.alpha=0.5 --weights ' + OTHER_WIDTH,
            'cannot be loaded into Mobi',
        ),
    ],
)
@pytest.mark.filterwarnings('ignore:Skipping nested container:UserWarning')  # then Keras raises
def test_rejects_invalid_recipe_data_or_weights(
    rejected, tmp_path, make_image_folder, options, words
):
    (tmp_path / 'empty.h5').touch()
    make_image_folder(tmp_path / 'single', 1, ('cats',))
    make_image_folder(tmp_path / 'pets', per_class=1)

    error = rejected(*options.format(tmp=tmp_path).split())

    assert words.format(tmp=tmp_path) in error


def test_rejects_workdir_that_is_a_file(rejected, tmp_path):
    (tmp_path / 'my runs').touch()
    assert f'{tmp_path}/my runs/demo cannot be used: Not a directory' in rejected()
