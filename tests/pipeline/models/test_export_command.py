"""The command `export`, for versions that runs on this machine have trained, and for others."""

import tarfile
from pathlib import Path

import click.testing
import keras
import pytest

from common.errors import USAGE
from components.conversion.converter_config import FILES, LABELS_FILE
from pipeline.models import export
from pipeline_runner import main

STORED_RUN = Path(__file__).parents[2] / 'e2e' / 'stored_run.tar.xz'


@pytest.fixture
def stored_run(tmp_path, monkeypatch):
    """A run of the recipe squares.yaml in the current folder."""
    with tarfile.open(STORED_RUN) as archive:
        archive.extractall(tmp_path, filter='data')
    monkeypatch.chdir(tmp_path)


def test_int8_is_calibrated_with_the_resize_of_the_training(stored_run, monkeypatch):
    given = []
    monkeypatch.setattr(export, 'read_calibration_images', lambda *words: given.append(words[-1]))
    monkeypatch.setattr(export, 'write_models', lambda *_: None)
    words = ['export', '--config', 'squares.yaml', '--to', 'tflite', '--set', 'trainer.resize=crop']

    done = click.testing.CliRunner().invoke(main, words)

    assert done.exit_code == 0, done.output
    assert given == ['squeeze']


def test_version_of_a_run_has_the_images_and_weights_of_its_training(stored_run, tmp_path):
    for kind in ('tflite', 'keras'):
        words = ['export', '--config', 'squares.yaml', '--to', kind]
        done = click.testing.CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output

    (folder,) = (tmp_path / 'squares' / 'exports').iterdir()
    model = keras.saving.load_model(folder / 'model.keras')
    assert model.output_shape == (None, len((folder / 'labels.txt').read_text().splitlines()))
    assert {each.name for each in folder.iterdir()} == {
        'float16.tflite',
        'int8.tflite',
        'labels.txt',
        'model.keras',
        'trained_on.npy',
    }


@pytest.fixture
def call(tmp_path, make_saved_model):
    """`call(*words)`: calls `export` for a workdir with version 7."""
    make_saved_model(tmp_path / 'demo' / 'serving' / '7')

    def invoke(*words):
        options = ['--config', 'demo', '--workdir', tmp_path]
        return click.testing.CliRunner().invoke(main, [*map(str, ['export', *words, *options])])

    return invoke


@pytest.mark.parametrize(
    ('kind', 'formats'), [('tflite', ('float16', 'int8')), ('onnx', ('onnx',))]
)
def test_writes_the_formats_of_a_version_and_its_labels(
    call, tmp_path, make_image_folder, kind, formats
):
    images = make_image_folder(tmp_path / 'images', per_class=3)
    (images / 'cats' / 'broken.jpg').write_bytes(b'no image')

    done = call('7', '--to', kind, *(['--data', images] if kind == 'tflite' else []))

    assert done.exit_code == 0, done.output
    folder = tmp_path / 'demo' / 'exports' / '7'
    names = [*(FILES[each] for each in formats), LABELS_FILE]
    assert done.stdout.splitlines() == [str(folder / name) for name in names]
    assert {each.name for each in folder.iterdir()} == set(names)


def test_int8_is_calibrated_on_images_of_each_class(call, tmp_path, make_image_folder, monkeypatch):
    """Names of cats are before those of dogs."""
    images = make_image_folder(tmp_path / 'images', per_class=3)
    (images / 'dogs' / 'dogs-0-0.jpg').unlink()
    given = []
    monkeypatch.setattr(export, 'write_models', lambda *arguments: given.append(arguments[2]))

    done = call('7', '--to', 'tflite', '--data', images, '--set', 'converter.calibration_images=4')

    assert done.exit_code == 0, done.output
    assert [int(each.mean() > 125) for each in given[0]] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ('words', 'text'),
    [
        (['--to', 'tflite'], '--data FOLDER'),
        (['--to', 'tflite', '--data', 'nowhere'], '--data: nowhere does not exist'),
        (['--to', 'onnx', '--data', '.'], '--data calibrates int8'),
        (['--to', 'keras'], 'cannot be rebuilt in Keras'),
        (['8', '--to', 'onnx'], 'neither a folder nor a version'),
        (['--to', 'pytorch'], "'tflite', 'onnx', 'keras'"),
    ],
)
def test_mistakes_are_one_line(call, tmp_path, words, text):
    done = call(*words)

    assert done.exit_code == USAGE
    assert text in done.stderr
    assert not (tmp_path / 'demo' / 'exports').exists()


def test_exports_versions_of_the_recipe_only(call, tmp_path, make_saved_model):
    """Version 7 of another recipe would have the same folder in exports/."""
    other = make_saved_model(tmp_path / 'other' / 'serving' / '7')

    done = call(other, '--to', 'onnx')

    assert done.exit_code == USAGE
    assert done.stderr.count('\n') == 1
    assert f'{other} is not a version in {tmp_path}/demo/serving' in done.stderr
    assert call(tmp_path / 'demo' / 'serving' / '7', '--to', 'onnx').exit_code == 0
