"""Fixtures: training jobs on a few small images and a small network."""

import tempfile
from pathlib import Path

import pytest
import tensorflow as tf
from training_jobs import SmallJob, write_splits, write_transform_graph

from trainer.config.train import TrainConfig
from trainer.training.job import Timings
from trainer.training.stages import train

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
def float16_on_cpu():
    """Skips where a CPU has float16, and `ONEDNN_MAX_CPU_ISA` leaves it out: oneDNN fails then."""
    try:
        tf.nn.conv2d(
            tf.ones((1, 8, 8, 32), tf.float16), tf.ones((1, 1, 32, 8), tf.float16), 1, 'SAME'
        )
    except tf.errors.AbortedError:
        pytest.skip('oneDNN computes no convolution in float16 here')


@pytest.fixture(scope='session')
def small_jobs(tmp_path_factory):
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


@pytest.fixture(scope='session')
def job_of_three(small_jobs):
    """`job_of_three(**changes)`: a Job on images of three brightnesses."""
    return small_jobs['job_of_three']


@pytest.fixture(scope='session')
def run_job():
    """`run_job(job, folder)`: trains; returns the network and the history of its stages."""

    def run(job, folder, warm=False):
        network = job.build_network()
        inputs = job.inputs(network, folder / 'activations')
        with tempfile.TemporaryDirectory() as state:
            return network, train(job, network, inputs, Path(state), warm=warm).histories

    return run
