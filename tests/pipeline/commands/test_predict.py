"""The command `predict`, from outside."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import click.testing
import PIL.Image
import pytest
from odd_images import bad_files

from pipeline_runner import main

RUNNER = Path(__file__).parents[3] / 'pipeline_runner.py'


@pytest.fixture(scope='module')
def model(tmp_path_factory, make_saved_model):
    return make_saved_model(tmp_path_factory.mktemp('serving') / '7')


@pytest.fixture(scope='module')
def images(tmp_path_factory, make_image_folder):
    """A cat and a dog, and one bad file of each kind."""
    folder = make_image_folder(tmp_path_factory.mktemp('images'), per_class=1)
    for name, (contents, _) in bad_files(animated=False).items():
        (folder / 'cats' / name).write_bytes(contents)
    return folder


def called(*arguments, **options):
    """In a process of its own, as its first output matters."""
    command = [sys.executable, str(RUNNER), 'predict', *map(str, arguments)]
    environment = {key: each for key, each in os.environ.items() if key != 'TF_CPP_MIN_LOG_LEVEL'}
    return subprocess.run(command, capture_output=True, timeout=120, env=environment, **options)


def invoked(*arguments):
    """In this process, which has imported TensorFlow."""
    return click.testing.CliRunner().invoke(main, ['predict', *map(str, arguments)])


@pytest.fixture(scope='module')
def told(model, images):
    return called(images, '--set', f'push_directory={model.parent}')


def test_the_live_model_says_path_class_and_probability(told, images):
    lines = [line.split('  ') for line in told.stdout.decode().splitlines()]
    assert [(path, name) for path, name, _ in lines] == [
        (f'{images}/cats/cats-0-0.jpg', 'cats'),
        (f'{images}/dogs/dogs-0-0.jpg', 'dogs'),
    ]
    assert all(0.9 < float(probability) <= 1 for _, _, probability in lines)


def test_each_bad_file_has_a_line_of_its_own_and_nothing_else_is_on_standard_error(told, images):
    expected = {
        f'error: {images}/cats/{name}: {reason}: '
        for name, (_, reason) in bad_files(animated=False).items()
    }
    lines = told.stderr.decode().splitlines()
    assert len(lines) == len(expected)
    assert {
        start for start in expected if any(line.startswith(start) for line in lines)
    } == expected


def test_that_some_could_not_be_answered_is_in_the_exit_code(told):
    assert told.returncode == 1


def test_an_image_may_come_on_standard_input(model, images):
    dog = (images / 'dogs' / 'dogs-0-0.jpg').read_bytes()
    done = called('--model', model, '--json', '-', input=dog)
    answer = json.loads(done.stdout)
    assert (answer['path'], answer['class']) == ('standard input', 'dogs')
    assert (done.returncode, done.stderr) == (0, b'')


def test_programs_get_an_object_for_each_image_bad_ones_in_their_place(model, images):
    cat, dog = images / 'cats' / 'cats-0-0.jpg', images / 'dogs' / 'dogs-0-0.jpg'

    done = invoked('--model', model, '--json', cat, images / 'nothing.jpg', dog)

    first, second, third = map(json.loads, done.stdout.splitlines())
    assert (first['class'], third['class']) == ('cats', 'dogs')
    assert second == {
        'path': f'{images}/nothing.jpg',
        'error': 'it cannot be read: No such file or directory',
    }
    assert (done.exit_code, done.stderr) == (1, '')


def test_explanations_are_pictures_of_the_images_and_it_is_said_where(model, images, tmp_path):
    dog = images / 'dogs' / 'dogs-0-0.jpg'

    done = invoked('--model', model, '--explain', tmp_path / 'why', dog, dog)

    assert done.exit_code == 0, done.output
    files = [line.split('  ')[-1] for line in done.stdout.splitlines()]
    assert files == [f'{tmp_path}/why/dogs-0-0.png', f'{tmp_path}/why/dogs-0-0-2.png']
    with PIL.Image.open(files[0]) as explanation, PIL.Image.open(dog) as image:
        assert explanation.size == image.size
        assert explanation.convert('RGB').tobytes() != image.tobytes()


def test_an_explanation_never_replaces_an_image(model, images, tmp_path):
    dog = tmp_path / 'dog.png'
    PIL.Image.open(images / 'dogs' / 'dogs-0-0.jpg').save(dog)
    before = dog.read_bytes()

    done, again = (invoked('--model', model, '--explain', tmp_path, dog) for _ in range(2))

    assert dog.read_bytes() == before
    assert done.stdout.endswith(f'  {tmp_path}/dog-2.png\n')
    assert again.stdout == done.stdout  # that of an earlier time is replaced


def test_what_cannot_be_explained_is_answered_and_told(model, images, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(PIL.Image.Image, 'save', full)
    dog = images / 'dogs' / 'dogs-0-0.jpg'

    done = invoked('--model', model, '--explain', tmp_path, dog)

    assert done.stdout.startswith(f'{dog}  dogs  ')
    problem = 'its explanation cannot be written: No space left on device'
    assert (done.exit_code, done.stderr) == (1, f'error: {dog}: {problem}\n')


def test_an_image_of_a_long_name_is_explained(model, images, tmp_path):
    dog = tmp_path / f'{"ö" * 125}.jpg'
    dog.write_bytes((images / 'dogs' / 'dogs-0-0.jpg').read_bytes())
    done = invoked('--model', model, '--explain', tmp_path / 'why', dog)
    assert (done.exit_code, done.stderr) == (0, '')


def test_a_name_with_line_breaks_stays_on_one_line(model, images, tmp_path):
    dog = tmp_path / 'new\nline\x1b[31m.jpg'
    dog.write_bytes((images / 'dogs' / 'dogs-0-0.jpg').read_bytes())
    done = invoked('--model', model, dog, f'{dog}x')
    assert done.stdout.startswith(f'{tmp_path}/new\\nline\\x1b[31m.jpg  dogs  ')
    assert done.stderr.startswith(f'error: {tmp_path}/new\\nline\\x1b[31m.jpgx: ')


def test_a_model_that_gives_no_number_answers_nothing(make_saved_model, images, tmp_path):
    model = make_saved_model(tmp_path / 'model', slope=float('nan'))
    done = invoked('--model', model, images / 'dogs' / 'dogs-0-0.jpg')
    assert done.exit_code == 1
    assert done.stderr.endswith('dogs-0-0.jpg: the model gives no number for it\n')


def test_a_model_that_cannot_explain_itself_is_told(make_saved_model, images, tmp_path):
    model = make_saved_model(tmp_path / 'model', explains=False)
    done = invoked('--model', model, '--explain', tmp_path / 'why', images)
    assert (done.exit_code, done.stdout) == (2, '')
    assert done.stderr.startswith(f'error: the model in {model} cannot explain itself')


def test_a_folder_for_explanations_that_cannot_be_written_is_told(model, images, tmp_path):
    (tmp_path / 'why').touch()
    done = invoked('--model', model, '--explain', tmp_path / 'why', images)
    assert done.exit_code == 2
    assert done.stderr == f'error: {tmp_path}/why cannot be used: File exists\n'


def test_without_a_model_nothing_is_asked(tmp_path):
    done = invoked('--workdir', tmp_path, 'cat.jpg')
    assert done.exit_code == 2
    assert done.stderr.startswith(f'error: no model is live in {tmp_path}/demo/serving; ')


def test_without_an_image_there_is_nothing_to_say():
    done = invoked()
    assert done.exit_code == 2
    assert 'Missing argument' in done.stderr


def test_a_model_of_somebody_else_is_told(make_saved_model, tmp_path):
    model = make_saved_model(tmp_path / 'model', classes=None)
    done = invoked('--model', model, 'cat.jpg')
    assert done.exit_code == 2
    assert 'with its classes' in done.stderr
