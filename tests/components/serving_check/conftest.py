"""Untrained models, exported like those of the Trainer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.export.saved_model import export
from trainer.export.warmup_requests import write_requests

SIZE = 32


def _small_network(seed=0):
    keras.utils.set_random_seed(seed)
    images = keras.Input((SIZE, SIZE, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    feature_map = keras.layers.Conv2D(8, 3, strides=4, activation='relu')(scaled)
    pooled = keras.layers.GlobalAveragePooling2D()(feature_map)
    return keras.Model(images, keras.layers.Dense(1)(pooled))


@pytest.fixture
def make_model(tmp_path, job):
    """`make_model(exported, classes)`: folder of a SavedModel with warm-up requests.

    The exported network or classes may differ from those that made the responses.
    """

    def make(exported=None, classes=None):
        network = _small_network()
        folder = tmp_path / 'model' / 'Format-Serving'
        export(exported or network, job.transform, classes or job.classes, folder)
        write_requests(folder, network, job)
        return folder

    return make


@pytest.fixture
def small_network():
    return _small_network


@pytest.fixture(scope='session')
def served(tmp_path_factory, job):
    """Folder of a SavedModel that tests must not change."""
    folder = tmp_path_factory.mktemp('served') / 'Format-Serving'
    network = _small_network()
    export(network, job.transform, job.classes, folder)
    write_requests(folder, network, job)
    return folder


@pytest.fixture(scope='session')
def served_signatures(served):
    return tf.saved_model.load(str(served)).signatures


@pytest.fixture
def pixels():
    """Random images at input size, uint8 [20, 32, 32, 3]."""
    return np.random.default_rng(0).integers(0, 255, (20, SIZE, SIZE, 3)).astype(np.uint8)
