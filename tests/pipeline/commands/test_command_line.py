"""The command line, from outside: exit codes, and what a person reads."""

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
LEFT_BEHIND = {'.lock', 'logs'}  # all that a run that could not start may leave


def call(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, RUNNER, *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


@pytest.fixture
def refused(tmp_path):
    """Asserts that a run does not start and leaves nothing; gives its error without 'error: '."""

    def run_in_vain(*arguments: object) -> str:
        done = call('run', '--workdir', tmp_path / 'runs', *arguments)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2, done
        assert line.startswith('error: ')
        assert ' ...' not in done.stdout, 'a component started'
        assert {path.name for path in (tmp_path / 'runs').glob('*/*')} <= LEFT_BEHIND
        return line.removeprefix('error: ')

    return run_in_vain


@pytest.fixture
def refused_here(tmp_path, make_image_folder, capfd):
    """The same in this process, which has imported TensorFlow already.

    What `run` writes for the log comes before the error here: the test runner replaces
    `sys.stderr`, not the file that it stands for.
    """
    data = make_image_folder(tmp_path / 'pets', per_class=1)

    def run_in_vain(weights: object) -> str:
        size = ['--set', 'trainer.alpha=0.35', '--set', 'trainer.image_size=32']
        files = ['--workdir', tmp_path / 'runs', '--data', data, '--weights', weights]
        done = click.testing.CliRunner().invoke(main, ['run', *size, *map(str, files)])
        *_, line = done.stderr.splitlines()
        assert done.exit_code == 2, done
        assert line.startswith('error: ')
        run_in_vain.started = capfd.readouterr().out.count(' ...')
        return line.removeprefix('error: ')

    return run_in_vain


@pytest.mark.parametrize('command', [[], ['run'], ['config']], ids=str)
def test_help_answers_within_a_second(command):
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
def test_neither_tensorflow_nor_tfx_is_imported_to_answer(arguments, tmp_path):
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


def test_images_to_answer_that_are_not_there_are_told_before_anything_runs(refused, tmp_path):
    assert refused('--set', f'inference.path={tmp_path}/nowhere') == (
        f'inference.path: {tmp_path}/nowhere does not exist; give a folder with images'
    )


def test_help_names_the_exit_codes():
    assert '3 finished and not blessed' in ' '.join(call('run', '--help').stdout.split())


@pytest.mark.parametrize('name', sorted(path.stem for path in RECIPES.glob('*.yaml')))
def test_config_prints_yaml_that_loads_back_to_the_same_recipe(name, tmp_path):
    done = click.testing.CliRunner().invoke(main, ['config', '--config', name])
    (tmp_path / 'printed.yaml').write_text(done.stdout)

    assert load_recipe(str(tmp_path / 'printed.yaml')) == load_recipe(name)


def test_options_change_what_they_are_named_after():
    options = ['--data', 'pets', '--weights', 'random', '--workdir', 'here', '--set', 'data.seed=7']
    done = click.testing.CliRunner().invoke(main, ['config', *options])

    values = yaml.safe_load(done.stdout)
    assert (values['data']['source'], values['data']['path']) == ('folder', 'pets')
    assert values['data']['seed'] == 7
    assert (values['trainer']['weights'], values['workdir']) == ('random', 'here')


def test_embedded_is_a_word_wherever_the_command_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'embedded').mkdir()
    done = click.testing.CliRunner().invoke(main, ['config', '--weights', 'embedded'])

    assert yaml.safe_load(done.stdout)['trainer']['weights'] == 'embedded'


def test_embedded_weights_of_another_width_do_not_run(refused):
    error = refused('--config', 'cats_vs_dogs', '--weights', 'embedded')

    assert error.endswith(
        'cats_vs_dogs.yaml: trainer: embedded weights are MobileNetV2 0.35, and alpha is 1.0; '
        'set alpha to 0.35, or weights to imagenet, random or a file'
    )


def test_data_that_is_a_parquet_file_becomes_the_source(tmp_path):
    (tmp_path / 'pets.parquet').touch()
    options = ['--config', 'cats_vs_dogs', '--data', str(tmp_path / 'pets.parquet')]
    done = click.testing.CliRunner().invoke(main, ['config', *options])

    values = yaml.safe_load(done.stdout)
    assert values['data']['source'] == 'parquet'
    assert values['data']['path'] == str(tmp_path / 'pets.parquet')


def test_a_folder_of_images_takes_the_place_of_parquet_files_and_of_their_classes(
    tmp_path, make_image_folder
):
    recipe = tmp_path / 'mine.yaml'
    recipe.write_text('data: {source: parquet, path: pets.parquet, classes: [cat, dog]}')
    data = make_image_folder(tmp_path / 'pets', per_class=1)
    options = ['--config', str(recipe), '--data', str(data)]
    done = click.testing.CliRunner().invoke(main, ['config', *options])

    values = yaml.safe_load(done.stdout)
    assert (values['data']['source'], values['data']['classes']) == ('folder', None)


def test_the_version_is_told():
    done = click.testing.CliRunner().invoke(main, ['--version'])

    assert re.search(r'version \d+\.\d+', done.stdout)


def test_an_unknown_recipe_does_not_run(refused):
    assert refused('--config', 'dmeo').startswith('recipe dmeo does not exist; give a YAML file or')


def test_a_wrong_key_does_not_run(refused):
    error = refused('--set', 'trainer.epochs=3')

    assert 'trainer.epochs: unknown key; valid keys: ' in error


def test_an_override_of_the_wrong_form_does_not_run(refused):
    assert refused('--set', 'seed') == (
        '--set seed: expected KEY=VALUE, as in trainer.batch_size=64'
    )


def test_a_missing_data_folder_does_not_run(refused, tmp_path):
    assert refused('--data', tmp_path / 'pets') == (
        f'data folder {tmp_path / "pets"} does not exist; give a folder with one folder per class'
    )


def test_a_missing_parquet_file_does_not_run(refused, tmp_path):
    path = tmp_path / 'pets.parquet'

    assert refused('--data', path).startswith(f'{path} does not exist; give a Parquet file or')


def test_an_empty_data_folder_does_not_run(refused, tmp_path):
    (tmp_path / 'pets').mkdir()

    assert 'holds no images; expected ' in refused('--data', tmp_path / 'pets')


def test_one_class_does_not_run(refused, tmp_path, make_image_folder):
    data = make_image_folder(tmp_path / 'pets', 1, ('cats',))

    assert 'has 1 class (cats); expected two or more' in refused('--data', data)


def test_a_broken_archive_does_not_run(refused, tmp_path):
    (tmp_path / 'pets.zip').write_bytes(b'PK')

    assert 'pets.zip cannot be read, it may be cut off or damaged' in refused(
        '--data', tmp_path / 'pets.zip'
    )


def test_data_that_is_an_address_becomes_the_source():
    options = ['--config', 'cats_vs_dogs', '--data', 'https://host/pets.zip']
    done = click.testing.CliRunner().invoke(main, ['config', *options])

    data = yaml.safe_load(done.stdout)['data']
    assert (data['source'], data['url'], data['path'], data['dataset']) == (
        'archive',
        'https://host/pets.zip',
        None,
        None,
    )


def test_classes_that_are_asked_for_go_with_data_of_ones_own():
    options = ['--data', 'pets', '--set', 'data.classes=[dogs, cats]']
    done = click.testing.CliRunner().invoke(main, ['config', *options])

    assert yaml.safe_load(done.stdout)['data']['classes'] == ['dogs', 'cats']


def test_a_workdir_that_cannot_be_made_does_not_run(tmp_path):
    (tmp_path / 'file').touch()

    done = call('run', '--workdir', tmp_path / 'file')

    assert done.returncode == 2
    assert done.stderr == f'error: workdir {tmp_path}/file/demo cannot be used: Not a directory\n'


def test_a_second_run_beside_the_first_is_refused_in_one_sentence(refused, tmp_path):
    home = tmp_path / 'runs' / 'demo'
    home.mkdir(parents=True)

    with filelock.FileLock(home / '.lock'):
        assert refused() == f'another run of demo is going on in {home}'


def test_a_run_that_could_not_start_leaves_its_reason_in_the_log(refused, tmp_path):
    error = refused('--data', tmp_path / 'pets')

    (log,) = (tmp_path / 'runs' / 'demo' / 'logs').iterdir()
    assert '\nTraceback' in log.read_text()
    assert error in log.read_text()


def test_a_missing_weights_file_does_not_run(refused, tmp_path, make_image_folder):
    data = make_image_folder(tmp_path / 'pets', per_class=1)
    path = tmp_path / 'none.weights.h5'

    error = refused('--data', data, '--weights', path)

    assert error.startswith(f'weights file {path} does not exist; give HDF5')


def test_weights_that_are_not_hdf5_do_not_run(refused_here, tmp_path):
    path = tmp_path / 'text.weights.h5'
    path.write_text('not HDF5')

    assert refused_here(path).startswith(f'weights file {path} is not HDF5; give weights')
    assert not refused_here.started


def test_weights_of_another_width_do_not_run(refused_here, tmp_path):
    path = tmp_path / 'wide.weights.h5'
    wide = {'input_shape': (32, 32, 3), 'alpha': 0.5, 'include_top': False, 'weights': None}
    keras.applications.MobileNetV2(**wide).save_weights(path)

    assert f'{path} does not fit MobileNetV2 0.35' in refused_here(path)
    assert not refused_here.started


def test_too_few_images_end_the_run_with_example_gen(refused_here):
    error = refused_here('random')

    assert refused_here.started == 1

    assert re.match(r'2 images are too few: the \w+ split got none of class ', error)
