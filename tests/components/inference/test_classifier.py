import shutil

import pytest
import tensorflow as tf
from bright_model import gray

from common.errors import ModelError
from components.inference.classifier import (
    Classifier,
    load_classifier,
    to_predicted_class,
)
from components.pusher.serving_folder import find_model

CLASSES = 'assets.extra/classes.json'


@pytest.fixture(scope='module')
def model(make_saved_model, tmp_path_factory):
    return make_saved_model(tmp_path_factory.mktemp('model') / 'model')


@pytest.mark.parametrize(
    ('name', 'probabilities', 'classes', 'probability'),
    [
        ('dogs', [0.75], ['cats', 'dogs'], 0.75),
        ('cats', [0.25], ['cats', 'dogs'], 0.75),
        ('cats', [0.75], ['cats', 'dogs'], 0.25),  # with a threshold above 0.75
        ('foxes', [0.2, 0.1, 0.7], ['cats', 'dogs', 'foxes'], 0.7),
    ],
)
def test_probability_is_that_of_predicted_class(name, probabilities, classes, probability):
    found = to_predicted_class(name, probabilities, classes)
    assert found[:2] == (name, probability)
    assert found.probabilities[classes.index(name)] == probability
    assert sum(found.probabilities) == pytest.approx(1)


def test_nan_has_no_class_and_unknown_class_is_an_error():
    assert to_predicted_class('', [float('nan')], ['cats', 'dogs']).name is None
    with pytest.raises(ModelError, match=r"predicts 'birds', but its .* \(cats, dogs\)"):
        to_predicted_class('birds', [0.9], ['cats', 'dogs'])


@pytest.mark.parametrize(
    ('file', 'contents', 'message'),
    [
        (CLASSES, None, r'no readable assets\.extra/classes'),
        (CLASSES, b'7', r'no readable assets\.extra/classes'),
        ('saved_model.pb', None, 'is not the folder of a SavedModel'),
        ('saved_model.pb', b'\x08', 'cannot be loaded: '),
        ('variables/variables.data-00000-of-00001', b'ab', 'cannot be loaded: '),
    ],
)
def test_rejects_damaged_model(model, tmp_path, file, contents, message):
    folder = shutil.copytree(model, tmp_path / 'model')
    (folder / file).unlink()
    if contents is not None:
        (folder / file).write_bytes(contents)

    with pytest.raises(ModelError, match=message):
        Classifier(folder)


def test_formats_no_images_as_text(classifier, monkeypatch):
    formatted = []
    monkeypatch.setattr(type(tf.constant('')), '__repr__', lambda tensor: formatted.append(1) or '')

    classifier.of_images([gray(40, 0).contents])

    assert formatted == []


def test_loads_a_model_once(model):
    assert load_classifier(model) is load_classifier(model)


def test_loads_a_model_again_that_was_written_since(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / 'model')
    before = load_classifier(folder)
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match='is not the folder of a SavedModel'):
        load_classifier(folder)
    shutil.copytree(model, folder, copy_function=shutil.copyfile)
    assert load_classifier(folder) is not before


def test_rejects_model_without_signature(broken):
    with pytest.raises(ModelError, match='has no signature explain_images'):
        broken.heat_maps([b''])


def test_finds_live_model_version_or_folder(tmp_path):
    serving = tmp_path / 'serving'
    with pytest.raises(ModelError, match=r'no model is live in .*; run the recipe until one is'):
        find_model(serving, None)
    for name in ('9', '10', '2', '11.partial'):
        (serving / name).mkdir(parents=True)

    assert find_model(serving, None) == serving / '10'
    assert find_model(serving, '2') == serving / '2'
    assert find_model(serving, str(tmp_path)) == tmp_path
    with pytest.raises(ModelError, match=r"'7' is neither a folder nor a version in .*: 2, 9, 10"):
        find_model(serving, '7')
