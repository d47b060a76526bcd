"""The command line: help, `config`, and input that a run rejects before its first component."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import click.testing
import filelock
import keras
import pytest
import yaml

from pipeline.config.recipe import RECIPES, load_recipe
from pipeline_runner import main

REPOSITORY = Path(__file__).parents[3]
RUNNER = REPOSITORY / 'pipeline_runner.py'
ALLOWED_FILES = {'.lock', 'logs'}  # that a rejected run may leave


def call(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, RUNNER, *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


def config_of(*options: object) -> dict:
    """The recipe that `config` prints."""
    done = click.testing.CliRunner().invoke(main, ['config', *map(str, options)])
    return yaml.safe_load(done.stdout)


@pytest.fixture
def rejected(tmp_path):
    """Asserts that a run does not start and leaves no files; returns its error message."""

    def run(*arguments: object) -> str:
        done = call('run', '--workdir', tmp_path / 'runs', *arguments)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2, done
        assert line.startswith('error: ')
        assert not re.search(r' \.\.\.| done', done.stdout), 'a component started'
        assert {path.name for path in (tmp_path / 'runs').glob('*/*')} <= ALLOWED_FILES
        return line.removeprefix('error: ')

    return run


@pytest.fixture
def rejected_weights(tmp_path, make_image_folder, capfd):
    """Runs in this process, which has imported TensorFlow; returns error and started components.

    The log lines of `run` come before the error, because the test runner replaces `sys.stderr` and
    not its file descriptor.
    """
    data = make_image_folder(tmp_path / 'pets', per_class=1)

    def run(weights: object) -> tuple[str, int]:
        size = ['--set', 'trainer.alpha=0.35', '--set', 'trainer.image_size=32']
        files = ['--workdir', tmp_path / 'runs', '--data', data, '--weights', weights]
        done = click.testing.CliRunner().invoke(main, ['run', *size, *map(str, files)])
        *_, line = done.stderr.splitlines()
        assert done.exit_code == 2, done
        assert line.startswith('error: ')
        started = len(re.findall(r' \.\.\.| done', capfd.readouterr().out))
        return line.removeprefix('error: '), started

    return run


@pytest.mark.parametrize('command', [[], ['run'], ['config']], ids=str)
def test_help_takes_less_than_a_second(command):
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert call(*command, '--help').stdout.startswith('Usage: ')
        seconds.append(time.perf_counter() - start)

    assert min(seconds) < 1


@pytest.mark.parametrize(
    'arguments',
    [
        ['--help'],
        ['run', '--help'],
        ['config'],
        ['run', '--config', 'dmeo'],
        ['run', '--data', 'no_such_folder'],
    ],
    ids=str,
)
def test_help_and_configuration_errors_import_no_tensorflow(arguments, tmp_path):
    program = (
        'import sys, pipeline_runner\n'
        'try: pipeline_runner.main(sys.argv[1:])\n'
        'finally: print({name.partition(".")[0] for name in sys.modules})'
    )
    command = [sys.executable, '-c', program, *arguments]
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    imported = set(re.findall(r"'(\w+)'", done.stdout.splitlines()[-1]))
    assert 'pipeline_runner' in imported
    assert not imported & {'tensorflow', 'tfx', 'keras', 'apache_beam'}


def test_help_lists_exit_codes():
    assert '3 finished and not blessed' in ' '.join(call('run', '--help').stdout.split())


def test_prints_version():
    done = click.testing.CliRunner().invoke(main, ['--version'])

    assert re.search(r'version \d+\.\d+', done.stdout)


@pytest.mark.parametrize('name', sorted(path.stem for path in RECIPES.glob('*.yaml')))
def test_printed_config_loads_as_the_same_recipe(name, tmp_path):
    (tmp_path / 'printed.yaml').write_text(yaml.safe_dump(config_of('--config', name)))

    assert load_recipe(str(tmp_path / 'printed.yaml')) == load_recipe(name)


def test_options_override_recipe():
    options = ['--data', 'pets', '--weights', 'random', '--workdir', 'here', '--set', 'data.seed=7']
    values = config_of(*options)

    assert (values['data']['source'], values['data']['path']) == ('folder', 'pets')
    assert values['data']['seed'] == 7
    assert (values['trainer']['weights'], values['workdir']) == ('random', 'here')


def test_embedded_weights_are_not_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'embedded').mkdir()

    assert config_of('--weights', 'embedded')['trainer']['weights'] == 'embedded'


def test_parquet_file_becomes_the_data_source(tmp_path):
    path = tmp_path / 'pets.parquet'
    path.touch()
    data = config_of('--config', 'cats_vs_dogs', '--data', path)['data']

    assert (data['source'], data['path']) == ('parquet', str(path))


def test_url_becomes_the_data_source():
    data = config_of('--config', 'cats_vs_dogs', '--data', 'https://host/pets.zip')['data']

    assert (data['source'], data['url']) == ('archive', 'https://host/pets.zip')
    assert (data['path'], data['dataset']) == (None, None)


def test_image_folder_replaces_parquet_source_and_its_classes(tmp_path, make_image_folder):
    recipe = tmp_path / 'mine.yaml'
    recipe.write_text('data: {source: parquet, path: pets.parquet, classes: [cat, dog]}')
    folder = make_image_folder(tmp_path / 'pets', per_class=1)
    data = config_of('--config', recipe, '--data', folder)['data']

    assert (data['source'], data['classes']) == ('folder', None)


def test_classes_can_be_set_for_own_data():
    values = config_of('--data', 'pets', '--set', 'data.classes=[dogs, cats]')

    assert values['data']['classes'] == ['dogs', 'cats']


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--config', 'dmeo'], 'recipe dmeo does not exist'),
        (['--set', 'trainer.epochs=3'], 'trainer.epochs: unknown key'),
        (['--set', 'seed'], '--set seed: expected KEY=VALUE'),
        (['--config', 'cats_vs_dogs', '--weights', 'embedded'], 'alpha is 1.0'),
        (['--set', 'inference.path={tmp}/none'], 'inference.path: {tmp}/none does not exist'),
        (['--data', '{tmp}/none'], '{tmp}/none does not exist'),
        (['--data', '{tmp}/none.parquet'], '{tmp}/none.parquet does not exist'),
        (['--data', '{tmp}/empty'], 'holds no images'),
        (['--data', '{tmp}/single'], 'has 1 class (cats)'),
        (['--data', '{tmp}/broken.zip'], 'broken.zip cannot be read'),
        (['--data', '{tmp}/pets', '--weights', '{tmp}/none.h5'], '{tmp}/none.h5 does not exist'),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, list) else '',
)
def test_rejects_invalid_recipe_data_or_weights(
    rejected, tmp_path, make_image_folder, arguments, words
):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'broken.zip').write_bytes(b'PK')
    make_image_folder(tmp_path / 'single', 1, ('cats',))
    make_image_folder(tmp_path / 'pets', per_class=1)

    error = rejected(*(each.format(tmp=tmp_path) for each in arguments))

    assert words.format(tmp=tmp_path) in error


def test_rejects_workdir_that_is_a_file(tmp_path):
    (tmp_path / 'file').touch()

    done = call('run', '--workdir', tmp_path / 'file')

    assert done.returncode == 2
    assert f'{tmp_path}/file/demo cannot be used: Not a directory' in done.stderr


def test_rejects_second_run_of_the_recipe(rejected, tmp_path):
    home = tmp_path / 'runs' / 'demo'
    home.mkdir(parents=True)

    with filelock.FileLock(home / '.lock'):
        assert str(home) in rejected()


def test_rejected_run_logs_its_traceback(rejected, tmp_path):
    error = rejected('--data', tmp_path / 'pets')

    (log,) = (tmp_path / 'runs' / 'demo' / 'logs').iterdir()
    assert '\nTraceback' in log.read_text()
    assert error in log.read_text()


def test_rejects_weights_that_are_not_hdf5(rejected_weights, tmp_path):
    path = tmp_path / 'text.weights.h5'
    path.write_text('not HDF5')

    error, started = rejected_weights(path)

    assert f'{path} is not HDF5' in error
    assert not started


def test_rejects_weights_of_other_width(rejected_weights, tmp_path):
    path = tmp_path / 'wide.weights.h5'
    wide = {'input_shape': (32, 32, 3), 'alpha': 0.5, 'include_top': False, 'weights': None}
    keras.applications.MobileNetV2(**wide).save_weights(path)

    error, started = rejected_weights(path)

    assert f'{path} does not fit MobileNetV2 0.35' in error
    assert not started


def test_too_few_images_fail_in_example_gen(rejected_weights):
    error, started = rejected_weights('random')

    assert started == 1
    assert re.match(r'2 images are too few: the \w+ split got none of class ', error)
