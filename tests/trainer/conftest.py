"""Fixtures: training jobs on a few small images and a small network."""

import pytest
from training_jobs import SmallJob, write_splits, write_transform_graph

from trainer.config.train import TrainConfig
from trainer.training.job import Timings

SMALL = {
    'image_size': 32,
    'weights': 'random',
    'batch_size': 8,
    'precision': 'float32',
    'feature_extraction': {'epochs': 2, 'learning_rate': 1e-2},
    'fine_tune': {'epochs': 2, 'from_layer': 'Conv_1', 'learning_rate': 1e-2},
    'head': {'dropout': 0},
}
CLASSES = {'small_job': ('cats', 'dogs'), 'job_of_three': ('cats', 'dogs', 'foxes')}


@pytest.fixture(scope='session')
def small_jobs(tmp_path_factory):
    """By name, functions that make jobs: two classes dark and bright, or three brightnesses."""
    folder = tmp_path_factory.mktemp('jobs')
    transform = write_transform_graph(folder / 'graph')
    splits = {
        name: write_splits(folder / name, classes, transform) for name, classes in CLASSES.items()
    }

    def maker(name):
        def make(**changes):
            config = TrainConfig.model_validate({**SMALL, **changes})
            return SmallJob(config, CLASSES[name], transform, splits[name], Timings())

        return make

    return {name: maker(name) for name in CLASSES}


@pytest.fixture(scope='session')
def small_job(small_jobs):
    """`small_job(**changes)`: a Job on 48 dark and bright training images of 32 pixels."""
    return small_jobs['small_job']
