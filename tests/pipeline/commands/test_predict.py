"""The `predict` command."""

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click.testing
import PIL.Image
import pytest
from odd_images import bad_files

from pipeline_runner import main

RUNNER = Path(__file__).parents[3] / 'pipeline_runner.py'
MISSING = 'cannot be read: No such file or directory'


@pytest.fixture(scope='module')
def model(tmp_path_factory, make_saved_model):
    return make_saved_model(tmp_path_factory.mktemp('serving') / '7')


@pytest.fixture(scope='module')
def broken(tmp_path_factory, make_saved_model):
    """Model that predicts NaN and cannot compute heat maps."""
    folder = tmp_path_factory.mktemp('broken') / 'model'
    return make_saved_model(folder, slope=float('nan'), explains=False)


@pytest.fixture(scope='module')
def images(tmp_path_factory, make_image_folder):
    """A folder with a cat, a dog, and one unusable file of each kind."""
    folder = make_image_folder(tmp_path_factory.mktemp('images'), per_class=1)
    for name, (contents, _) in bad_files().items():
        (folder / 'cats' / name).write_bytes(contents)
    return folder


@pytest.fixture(scope='module')
def dog(images):
    return images / 'dogs' / 'dogs-0-0.jpg'


@pytest.fixture
def call(model):
    """Calls `predict` in this process, which has imported TensorFlow."""

    def predict(*words, folder=model):
        options = ['predict', '--config=demo', '--model', folder, *words]
        return click.testing.CliRunner().invoke(main, [*map(str, options)])

    return predict


def start(*words, **options):
    command = [sys.executable, RUNNER, 'predict', '--config=demo', *words]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)


def test_prints_predictions_and_one_error_line_per_bad_file(model, images, dog, monkeypatch):
    """In a subprocess without the log level of this process, and with standard input."""
    monkeypatch.delenv('TF_CPP_MIN_LOG_LEVEL', raising=False)
    with dog.open() as stdin:
        live = ['--set', f'push_directory={model.parent}']
        done = start(images, '-', *live, stdin=stdin, stdout=subprocess.PIPE)

    lines = [line.split('  ') for line in done.stdout.splitlines()]
    assert [(path, name) for path, name, _ in lines] == [
        (f'{images}/cats/cats-0-0.jpg', 'cats'),
        (f'{images}/dogs/dogs-0-0.jpg', 'dogs'),
        ('standard input', 'dogs'),
    ]
    assert all(0.9 < float(probability) <= 1 for _, _, probability in lines)
    which, *errors = done.stderr.splitlines()
    assert which == f'model: {model}'
    assert len(errors) == len(bad_files())
    for name, (_, reason) in bad_files().items():
        assert any(line.startswith(f'error: {images}/cats/{name}: {reason}: ') for line in errors)
    assert done.returncode == 1


def test_json_has_one_object_per_image_in_order(call, model, images, dog):
    cat = images / 'cats' / 'cats-0-0.jpg'

    done = call('--json', cat, images / 'nothing.jpg', dog)

    first, second, third = map(json.loads, done.stdout.splitlines())
    assert (first['class'], third['class']) == ('cats', 'dogs')
    assert list(third['probabilities']) == ['dogs', 'cats']
    assert sum(third['probabilities'].values()) == pytest.approx(1, abs=1e-5)
    assert third['probabilities']['dogs'] == third['confidence']
    assert third['model'] == str(model)
    assert second == {'path': f'{images}/nothing.jpg', 'error': MISSING}
    assert (done.exit_code, done.stderr) == (1, f'model: {model}\n')


def test_csv_has_a_row_per_image_and_a_column_per_class(call, images, dog):
    done = call('--csv', dog, images / 'no, thing.jpg')

    header = 'path,class,confidence,p_cats,p_dogs,explanation,error'
    first, second = csv.DictReader(done.stdout.splitlines())
    assert done.stdout.splitlines()[0] == header
    assert (first['class'], first['error']) == ('dogs', '')
    assert float(first['p_dogs']) == float(first['confidence']) > 0.9 > float(first['p_cats'])
    assert (second['path'], second['error']) == (f'{images}/no, thing.jpg', MISSING)
    assert (second['class'], second['p_cats']) == ('', '')


def test_top_classes_are_on_one_line(call, dog):
    path, *pairs = call('--top', 3, dog).stdout.split()
    assert (path, pairs[::2]) == (str(dog), ['dogs', 'cats'])
    assert call('--json', '--csv', dog).exit_code == 2


def test_writes_overlays_and_prints_their_paths(call, dog, tmp_path):
    names = ['dogs-0-0.overlay.png', 'dogs-0-0-2.overlay.png']
    expected = [f'{tmp_path}/why/{name}' for name in names]

    text = call('--explain', tmp_path / 'why', dog, dog)
    replaced = call('--explain', tmp_path / 'why', '--json', dog, dog)

    assert (text.exit_code, replaced.exit_code) == (0, 0)
    assert [line.split('  ')[-1] for line in text.stdout.splitlines()] == expected
    assert [json.loads(line)['explanation'] for line in replaced.stdout.splitlines()] == expected
    assert {file.name for file in (tmp_path / 'why').iterdir()} == set(names)
    with PIL.Image.open(expected[0]) as overlay, PIL.Image.open(dog) as image:
        assert overlay.size == image.size
        assert overlay.convert('RGB').tobytes() != image.tobytes()


def test_prints_prediction_if_overlay_cannot_be_written(call, dog, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PIL.Image.Image, 'save', refuse)

    done = call('--explain', tmp_path, dog)

    assert done.stdout.startswith(f'{dog}  dogs  ')
    problem = 'the overlay cannot be written: No space left on device'
    assert done.exit_code == 1
    assert done.stderr.splitlines()[1:] == [f'error: {dog}: {problem}']


@pytest.mark.parametrize('form', [[], ['--csv']])
def test_escapes_control_characters(call, dog, tmp_path, form):
    odd = shutil.copy(dog, tmp_path / 'new\nline\x1b[31m\u3000.jpg')
    done = call(*form, odd, f'{odd}x')
    shown = f'{tmp_path}/new\\nline\\u001b[31m\u3000.jpg'
    assert f'{shown},dogs' in done.stdout if form else done.stdout.startswith(f'{shown}  dogs  ')
    assert f'{shown}x' in (done.stdout if form else done.stderr)
    assert '\x1b' not in done.output


def test_unsuitable_model_or_folder_is_one_error_line(call, broken, dog, tmp_path):
    (tmp_path / 'why').touch()
    nan = call(dog, folder=broken)
    unexplained = call('--explain', tmp_path / 'why', dog, folder=broken)
    no_folder = call('--explain', tmp_path / 'why', dog)

    assert nan.stderr.endswith('dogs-0-0.jpg: the model predicts NaN\n')
    assert (nan.exit_code, unexplained.exit_code, no_folder.exit_code) == (1, 2, 2)
    expected = f'error: the model in {broken} cannot compute Grad-CAM'
    assert unexplained.stderr.startswith(expected)
    assert no_folder.stderr.startswith(f'error: {tmp_path}/why cannot be used: File exists')
