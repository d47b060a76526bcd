"""Warm start: loading the weights of a base model, and rejecting unsuitable ones."""

import dataclasses
import re
import shutil

import keras
import numpy as np
import pytest

from common.errors import ModelError
from trainer.training.trained_images import TRAINED_IMAGE, TRAINED_ON, index_file
from trainer.training.warm_start import save_weights, weights_folder

CLASSES = ('cats', 'dogs')
EMPTY_ZIP = 'PK\5\6' + 18 * '\0'
SPLITTING = {'data.splits': {'train': 3, 'eval': 1}, 'train and validation folders': True}


@pytest.fixture(scope='module')
def base_model(tmp_path_factory, small_job):
    """The path of a SavedModel, and the network whose weights are next to it."""
    job = dataclasses.replace(small_job(seed=1), splitting=SPLITTING)
    network = job.build_network()
    serving = str(tmp_path_factory.mktemp('base') / 'model' / 'Format-Serving')
    save_weights(network, job.description, weights_folder(serving))
    np.save(index_file(serving), np.zeros(0, TRAINED_IMAGE))
    return serving, network


@pytest.fixture
def start(base_model, small_job):
    """`start(**changes)`: starts a job from the base model, in which settings may differ."""

    def start_job(serving=base_model[0], classes=CLASSES, splitting=SPLITTING, **changes):
        job = small_job(**{'seed': 2, 'warm_start': '7', **changes})
        return dataclasses.replace(
            job, base_model=serving, classes=classes, splitting=splitting
        ).start()

    return start_job


def check_equal(network, expected):
    for part in (lambda each: each.backbone.original, lambda each: each.head):
        for one, other in zip(part(network).weights, part(expected).weights, strict=True):
            np.testing.assert_array_equal(one, other)


def test_start_loads_weights_and_logs_their_source(base_model, start, caplog):
    caplog.set_level('INFO')
    network, base = start(warm_start='live')
    assert base == index_file(base_model[0])
    assert re.search(r'warm start from the live model, .*/model$', caplog.text.strip())
    check_equal(network, base_model[1])


def test_live_model_that_does_not_fit_is_no_warm_start(start, caplog):
    caplog.set_level('INFO')
    _, base = start(warm_start='live', head={'hidden': [8]})
    assert base is None
    assert re.search(r'no warm start: .* \[8\]; starting from random$', caplog.text.strip())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'alpha': 0.5}, r'differs: trainer.alpha was 1.0 and is 0.5$'),
        ({'head': {'hidden': [8]}}, r'trainer.head.hidden was \[\] and is \[8\]$'),
        ({'classes': (*CLASSES, 'foxes')}, r"is \['cats', 'dogs', 'foxes'\]$"),
        (
            {'splitting': {**SPLITTING, 'train and validation folders': False}},
            'differs: train and validation folders was True and is False$',
        ),
        ({'splitting': {'data.seed': 2}}, 'data.seed was unknown and is 2$'),
        ({'serving': 'no/Format-Serving'}, 'has no weights in'),
    ],
)
def test_given_version_has_to_fit(start, changes, message):
    with pytest.raises(ModelError, match=message):
        start(**changes)


def test_rejects_corrupted_weights(tmp_path, base_model, start):
    serving = str(tmp_path / 'model' / 'Format-Serving')
    shutil.copytree(weights_folder(base_model[0]), weights_folder(serving))
    with pytest.raises(ModelError, match=r'model has no .*trained_on\.npy'):
        start(serving)
    index_file(serving).write_bytes(b'truncated')
    with pytest.raises(ModelError, match=r'trained_on\.npy is damaged'):
        start(serving)
    np.save(index_file(serving), np.zeros(0, TRAINED_IMAGE))
    (weights_folder(serving) / 'head.weights.h5').write_bytes(b'not HDF5')
    with pytest.raises(ModelError, match='cannot be read'):
        start(serving)


@pytest.fixture
def exported(tmp_path, base_model):
    """A Keras model, its class names and its index, as `export --to keras` writes them."""
    _, network = base_model
    pixels = keras.Input(network.backbone.model.input_shape[1:])
    pooled = keras.layers.GlobalAveragePooling2D()(network.backbone.original(pixels))
    keras.Model(pixels, network.head(pooled)).save(tmp_path / 'model.keras')
    (tmp_path / 'labels.txt').write_text('cats\ndogs\n')
    np.save(tmp_path / TRAINED_ON, np.zeros(0, TRAINED_IMAGE))
    return tmp_path


def test_start_loads_an_exported_model(exported, base_model, start):
    network, base = start(warm_start=str(exported / 'model.keras'))
    assert base == exported / TRAINED_ON
    check_equal(network, base_model[1])


@pytest.mark.parametrize(
    ('file', 'contents', 'message'),
    [
        ('labels.txt', 'dogs\ncats\n', 'its classes are dogs, cats'),
        ('model.keras', 'no zip', 'impossible'),
        ('model.keras', EMPTY_ZIP, 'impossible'),
        (TRAINED_ON, None, 'has no trained_on.npy next to it'),
        ('labels.txt', None, 'No such file'),
    ],
)
def test_exported_model_has_to_fit(exported, start, file, contents, message):
    (exported / file).unlink()
    if contents:
        (exported / file).write_text(contents)
    with pytest.raises(ModelError, match=message):
        start(warm_start=str(exported / 'model.keras'))
