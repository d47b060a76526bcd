"""Fixtures: training jobs on a few small images, with transform graph and TFRecords."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from training_jobs import job_maker

from components.image_example_gen.sources.folder import FolderSource
from trainer.config.train import TrainConfig
from trainer.model.backbone import build_backbone
from trainer.training.job import Job

SMALL = {
    'image_size': 32,
    'alpha': 0.35,
    'weights': 'random',
    'batch_size': 8,
    'feature_extraction': {'epochs': 2},
    'fine_tune': {'epochs': 2, 'from_layer': 'block_14_expand', 'learning_rate': 1e-3},
}

MakeJob = Callable[..., Job]


@pytest.fixture(scope='session')
def small_job(tmp_path_factory, make_image_folder, weights) -> MakeJob:
    """`small_job(**changes)`: a Job on 64 dark and 64 bright images, resized to 32 pixels."""
    folder = tmp_path_factory.mktemp('job')
    return _small_jobs(make_image_folder(folder / 'pets', per_class=64), weights)


@pytest.fixture(scope='session')
def job_of_three(tmp_path_factory, make_image_folder, weights) -> MakeJob:
    """`job_of_three(**changes)`: a Job on 40 images of each of three brightnesses."""
    folder = tmp_path_factory.mktemp('job_of_three')
    pets = make_image_folder(folder / 'pets', per_class=40, classes=('cats', 'dogs', 'foxes'))
    return _small_jobs(pets, weights)


@pytest.fixture(params=['small_job', 'job_of_three'])
def job_of_any(request) -> MakeJob:
    """`small_job`, then `job_of_three`."""
    return request.getfixturevalue(request.param)


def _small_jobs(images: Path, weights: str) -> MakeJob:
    make = job_maker(FolderSource(images), 32, images.parent)

    def make_small(**changes) -> Job:
        pretrained = {} if 'alpha' in changes else {'weights': weights}
        return make(TrainConfig.model_validate({**SMALL, **pretrained, **changes}))

    return make_small


@pytest.fixture(scope='session')
def weights(tmp_path_factory) -> str:
    """A weights file for the backbone of small jobs.

    The weights are random; batch norm has the statistics of noise. Without them all activations of
    the last layer are almost 0.
    """
    path = str(tmp_path_factory.mktemp('weights') / 'backbone.weights.h5')
    keras.utils.set_random_seed(0)
    model = build_backbone(TrainConfig.model_validate(SMALL)).model
    model.trainable = True
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(np.random.default_rng(0).uniform(-1, 1, (64, 32, 32, 3)), training=True)
    model.save_weights(path)
    return path
