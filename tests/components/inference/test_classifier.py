import shutil

import numpy as np
import pytest
import tensorflow as tf
from bright_model import gray

from common import features
from common.errors import ModelError
from components.inference.classifier import Classifier, load_classifier, rows_of

CLASSES = 'assets.extra/classes.json'


@pytest.fixture(scope='module')
def model(make_saved_model, tmp_path_factory):
    return make_saved_model(tmp_path_factory.mktemp('model') / 'model')


CLASSES_OF_TWO, CLASSES_OF_THREE = ('cats', 'dogs'), ('cats', 'dogs', 'foxes')


def row(name, probabilities, classes):
    outputs = {
        features.CLASS: np.array([[name.encode()]], object),
        features.PROBABILITY: np.float32([probabilities]),
    }
    return rows_of(outputs, classes)[0]


@pytest.mark.parametrize(
    ('name', 'probabilities', 'classes', 'expected'),
    [
        ('dogs', [0.75], CLASSES_OF_TWO, {'dogs': 0.75, 'cats': 0.25}),
        ('cats', [0.25], CLASSES_OF_TWO, {'cats': 0.75, 'dogs': 0.25}),
        # With a threshold above 0.75.
        ('cats', [0.75], CLASSES_OF_TWO, {'cats': 0.25, 'dogs': 0.75}),
        ('foxes', [0.1, 0.2, 0.7], CLASSES_OF_THREE, {'foxes': 0.7, 'dogs': 0.2, 'cats': 0.1}),
    ],
)
def test_confidence_is_the_probability_of_the_predicted_class(
    name, probabilities, classes, expected
):
    found = row(name, probabilities, classes)
    assert (found['class'], found['confidence']) == (name, expected[name])
    assert [*found['probabilities'].items()] == [*expected.items()]


def test_nan_has_no_class_and_unknown_class_is_an_error():
    assert set(row('', [float('nan')], CLASSES_OF_TWO).values()) == {None}
    with pytest.raises(ModelError, match=r"predicts 'birds', but its .* \(cats, dogs\)"):
        row('birds', [0.9], CLASSES_OF_TWO)


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
