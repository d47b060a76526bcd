"""Warm start: loading the weights of a base model, and rejecting unsuitable ones."""

import dataclasses
import io
import re
import shutil

import keras
import numpy as np
import pytest

from common import console
from common.errors import ModelError
from trainer.training.trained_images import TRAINED_IMAGE, TRAINED_ON, index_file
from trainer.training.warm_start import load_weights, save_weights, weights_folder

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


@pytest.fixture(scope='module')
def other_network(small_job):
    """A network that no test changes."""
    return small_job(seed=2).build_network()


def weights_of(network):
    return [*network.backbone.original.get_weights(), *network.head.get_weights()]


@pytest.mark.parametrize(
    ('changes', 'message', 'warm'),
    [
        ({}, r'warm start from the live model, .*/model$', True),
        ({'head': {'hidden': [8]}}, r'no warm start: .* \[8\]; starting from random$', False),
    ],
)
def test_start_loads_weights_and_logs_their_source(base_model, small_job, changes, message, warm):
    serving, before = base_model
    job = small_job(seed=2, warm_start='live', **changes)
    job = dataclasses.replace(job, base_model=serving, splitting=SPLITTING)
    stream = io.StringIO()
    with console.output_to(stream):
        network, base = job.start()
    assert base == (index_file(serving) if warm else None)
    assert re.search(message, stream.getvalue().strip())
    if warm:
        for one, other in zip(weights_of(network), weights_of(before), strict=True):
            np.testing.assert_array_equal(one, other)


def test_weights_of_a_given_version_have_to_fit(base_model, small_job):
    job = small_job(warm_start='7', head={'hidden': [8]})
    job = dataclasses.replace(job, base_model=base_model[0], splitting=SPLITTING)
    with pytest.raises(ModelError, match=r'the model differs: trainer.head.hidden'):
        job.start()


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


def test_start_loads_an_exported_model(exported, base_model, small_job):
    network, base = small_job(seed=2, warm_start=str(exported / 'model.keras')).start()
    assert base == exported / TRAINED_ON
    for one, other in zip(weights_of(network), weights_of(base_model[1]), strict=True):
        np.testing.assert_array_equal(one, other)


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
def test_exported_model_has_to_fit(exported, small_job, file, contents, message):
    (exported / file).unlink()
    if contents:
        (exported / file).write_text(contents)
    with pytest.raises(ModelError, match=message):
        small_job(warm_start=str(exported / 'model.keras')).start()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'alpha': 0.5}, r'differs: trainer.alpha was 1.0 and is 0.5$'),
        ({'head': {'hidden': [8]}}, r'trainer.head.hidden was \[\] and is \[8\]$'),
        ({'classes': (*CLASSES, 'foxes')}, r"is \['cats', 'dogs', 'foxes'\]$"),
        (
            {'splitting': {**SPLITTING, 'data.splits': {'train': 8}}},
            r"data.splits was {'train': 3, 'e",
        ),
        (
            {'splitting': {**SPLITTING, 'train and validation folders': False}},
            'differs: train and validation folders was True and is False$',
        ),
        ({'splitting': {'data.seed': 2}}, 'data.seed was unknown and is 2$'),
        ({'serving': 'no/Format-Serving'}, 'has no weights in'),
    ],
)
def test_rejects_missing_or_other_model(base_model, other_network, small_job, changes, message):
    given = {'classes': CLASSES, 'splitting': SPLITTING, 'serving': base_model[0], **changes}
    classes, splitting, serving = map(given.pop, ('classes', 'splitting', 'serving'))
    job = dataclasses.replace(small_job(**given), classes=classes, splitting=splitting)
    with pytest.raises(ModelError, match=message):
        load_weights(other_network, job.description, serving)


def test_rejects_corrupted_weights(tmp_path, base_model, other_network, small_job):
    serving = str(tmp_path / 'model' / 'Format-Serving')
    shutil.copytree(weights_folder(base_model[0]), weights_folder(serving))
    description = dataclasses.replace(small_job(), splitting=SPLITTING).description
    with pytest.raises(ModelError, match=r'model has no .*trained_on\.npy'):
        load_weights(other_network, description, serving)
    index_file(serving).write_bytes(b'truncated')
    with pytest.raises(ModelError, match=r'trained_on\.npy is damaged'):
        load_weights(other_network, description, serving)
    np.save(index_file(serving), np.zeros(0, TRAINED_IMAGE))
    (weights_folder(serving) / 'head.weights.h5').write_bytes(b'not HDF5')
    with pytest.raises(ModelError, match='cannot be read'):
        load_weights(other_network, description, serving)
