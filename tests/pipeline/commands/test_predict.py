"""The `predict` command."""

import csv
import datetime
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

from components.pusher.serving_folder import NOTE_FILE, About, Note
from pipeline_runner import main

RUNNER = Path(__file__).parents[3] / 'pipeline_runner.py'


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


def call(*arguments):
    """Calls `predict` in this process, which has imported TensorFlow."""
    return click.testing.CliRunner().invoke(
        main, ['predict', '--config=demo', *map(str, arguments)]
    )


def test_prints_predictions_and_one_error_line_per_bad_file(model, images, dog, monkeypatch):
    """In a subprocess without the log level of this process, and with standard input."""
    monkeypatch.delenv('TF_CPP_MIN_LOG_LEVEL', raising=False)
    arguments = ['predict', '--config=demo', images, '-', '--set', f'push_directory={model.parent}']
    with dog.open() as stdin:
        command = [sys.executable, RUNNER, *arguments]
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)

    lines = [line.split('  ') for line in done.stdout.splitlines()]
    assert [(path, name) for path, name, _ in lines] == [
        (f'{images}/cats/cats-0-0.jpg', 'cats'),
        (f'{images}/dogs/dogs-0-0.jpg', 'dogs'),
        ('standard input', 'dogs'),
    ]
    assert all(0.9 < float(probability) <= 1 for _, _, probability in lines)
    starts = [
        f'error: {images}/cats/{name}: {reason}: ' for name, (_, reason) in bad_files().items()
    ]
    which, *errors = done.stderr.splitlines()
    assert which == f'model: {model}'
    assert len(errors) == len(starts)
    assert all(any(line.startswith(start) for line in errors) for start in starts)
    assert done.returncode == 1


def test_json_has_one_object_per_image_in_order(model, images, dog):
    cat = images / 'cats' / 'cats-0-0.jpg'

    done = call('--model', model, '--json', cat, images / 'nothing.jpg', dog)

    first, second, third = map(json.loads, done.stdout.splitlines())
    assert (first['class'], third['class']) == ('cats', 'dogs')
    assert list(third['probabilities']) == ['dogs', 'cats']
    assert sum(third['probabilities'].values()) == pytest.approx(1, abs=1e-5)
    assert third['probabilities']['dogs'] == third['confidence']
    assert third['model'] == str(model)
    problem = 'cannot be read: No such file or directory'
    assert second == {'path': f'{images}/nothing.jpg', 'error': problem}
    assert (done.exit_code, done.stderr) == (1, f'model: {model}\n')


def test_csv_has_a_row_per_image_and_a_column_per_class(model, images, dog):
    done = call('--model', model, '--csv', dog, images / 'no, thing.jpg')

    first, second = csv.DictReader(done.stdout.splitlines())
    assert (first['class'], first['error']) == ('dogs', '')
    assert float(first['p_dogs']) == float(first['confidence']) > 0.9 > float(first['p_cats'])
    assert second['path'] == f'{images}/no, thing.jpg'
    assert second['error'] == 'cannot be read: No such file or directory'
    assert (second['class'], second['p_cats']) == ('', '')


def test_output_on_a_full_disk_is_one_error_line(model, dog, monkeypatch):
    monkeypatch.delenv('PYTHONUNBUFFERED', raising=False)
    command = [sys.executable, RUNNER, 'predict', '--config=demo', '--model', model, dog]
    with Path('/dev/full').open('w') as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    _, error = done.stderr.splitlines()
    assert error == 'error: standard output cannot be written: No space left on device'
    assert done.returncode == 2


def test_top_classes_are_on_one_line(model, dog):
    path, *pairs = call('--model', model, '--top', 3, dog).stdout.split()
    assert (path, pairs[::2]) == (str(dog), ['dogs', 'cats'])
    assert call('--model', model, '--json', '--csv', dog).exit_code == 2


def test_names_the_pushed_model(model, dog, tmp_path):
    shutil.copytree(model, tmp_path / '1001')
    about = About(recipe='pets', accuracy=0.97534)
    note = Note(
        version=1001,
        pushed=datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
        about=about,
    )
    (tmp_path / '1001' / NOTE_FILE).write_text(note.model_dump_json())
    done = call('--set', f'push_directory={tmp_path}', dog)
    expected = 'model: pets/1001, test accuracy 0.9753, pushed 2026-01-02 00:00 UTC\n'
    assert done.stderr == expected


def test_writes_overlays_and_prints_their_paths(model, dog, tmp_path):
    names = ['dogs-0-0.overlay.png', 'dogs-0-0-2.overlay.png']
    expected = [f'{tmp_path}/why/{name}' for name in names]

    text = call('--model', model, '--explain', tmp_path / 'why', dog, dog)
    replaced = call('--model', model, '--explain', tmp_path / 'why', '--json', dog, dog)

    assert (text.exit_code, replaced.exit_code) == (0, 0)
    assert [line.split('  ')[-1] for line in text.stdout.splitlines()] == expected
    assert [json.loads(line)['explanation'] for line in replaced.stdout.splitlines()] == expected
    assert {file.name for file in (tmp_path / 'why').iterdir()} == set(names)
    with PIL.Image.open(expected[0]) as overlay, PIL.Image.open(dog) as image:
        assert overlay.size == image.size
        assert overlay.convert('RGB').tobytes() != image.tobytes()


def test_prints_prediction_if_overlay_cannot_be_written(model, dog, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PIL.Image.Image, 'save', refuse)

    done = call('--model', model, '--explain', tmp_path, dog)

    assert done.stdout.startswith(f'{dog}  dogs  ')
    problem = 'the overlay cannot be written: No space left on device'
    assert done.exit_code == 1
    assert done.stderr.splitlines()[1:] == [f'error: {dog}: {problem}']


def test_supports_long_names_and_escapes_control_characters(model, dog, tmp_path):
    long = shutil.copy(dog, tmp_path / f'{"ö" * 125}.jpg')
    odd = shutil.copy(dog, tmp_path / 'new\nline\x1b[31m\u3000.jpg')
    done = call('--model', model, '--explain', tmp_path / 'why', long, odd, f'{odd}x')
    assert f'\n{tmp_path}/new\\nline\\u001b[31m\u3000.jpg  dogs  ' in done.stdout
    _, error = done.stderr.splitlines()
    assert error.startswith(f'error: {tmp_path}/new\\nline\\u001b[31m\u3000.jpgx: ')


def test_reports_nan_prediction(broken, dog):
    done = call('--model', broken, dog)
    assert done.exit_code == 1
    assert done.stderr.endswith('dogs-0-0.jpg: the model predicts NaN\n')


def test_rejects_unsuitable_model_or_folder_for_overlays(model, broken, images, tmp_path):
    (tmp_path / 'why').touch()
    for folder, message in (
        (broken, f'the model in {broken} cannot compute Grad-CAM'),
        (model, f'{tmp_path}/why cannot be used: File exists'),
    ):
        done = call('--model', folder, '--explain', tmp_path / 'why', images)
        assert (done.exit_code, done.stdout) == (2, '')
        assert done.stderr.startswith(f'error: {message}')
