"""Untrained model, exported like that of the Trainer."""

import keras
import pytest

from trainer.export.saved_model import export
from trainer.export.warmup_requests import write_requests

SIZE = 32


@pytest.fixture(scope='session')
def make_model(job):
    """`make_model(folder, seed=0)` exports a SavedModel with warm-up requests."""

    def make(folder, seed=0):
        keras.utils.set_random_seed(seed)
        images = keras.Input((SIZE, SIZE, 3))
        scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
        feature_map = keras.layers.Conv2D(8, 3, strides=4, activation='relu')(scaled)
        pooled = keras.layers.GlobalAveragePooling2D()(feature_map)
        network = keras.Model(images, keras.layers.Dense(1)(pooled))
        serving = export(network, job.transform, job.classes, folder)
        write_requests(folder, serving, job.splits['eval'])
        return folder

    return make


@pytest.fixture(scope='session')
def served(make_model, tmp_path_factory):
    """Folder of a SavedModel that tests must not change."""
    return make_model(tmp_path_factory.mktemp('served') / 'Format-Serving')
