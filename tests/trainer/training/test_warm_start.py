"""Continuing from a base model, and the reasons not to."""

import dataclasses
import io
import re
import shutil

import numpy as np
import pytest

from common import console
from common.errors import ModelError
from trainer.training.warm_start import load_weights, save_weights, weights_folder

CLASSES = ('cats', 'dogs')


@pytest.fixture(scope='module')
def base_model(tmp_path_factory, small_job):
    """Where TFX says a model is, and the network whose weights lie beside it."""
    job = small_job(seed=1, weights='random')
    network = job.build_network()
    serving = str(tmp_path_factory.mktemp('base') / 'model' / 'Format-Serving')
    save_weights(network, job.config, CLASSES, weights_folder(serving))
    return serving, network


@pytest.fixture(scope='module')
def other_network(small_job):
    """One that nothing is loaded into."""
    return small_job(seed=2).build_network()


def weights_of(network):
    return [*network.backbone.whole.get_weights(), *network.head.get_weights()]


def test_the_weights_of_backbone_and_head_are_taken_over(base_model, small_job):
    serving, before = base_model
    job = small_job(seed=2, image_size=32)
    network = job.build_network()
    load_weights(network, job.config, CLASSES, serving)
    for one, other in zip(weights_of(network), weights_of(before), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ('changes', 'classes', 'difference'),
    [
        ({'alpha': 0.5}, CLASSES, r'differs: trainer.alpha was 0.35 and is 0.5$'),
        ({'head': {'hidden': [8]}}, CLASSES, r'trainer.head.hidden was \[\] and is \[8\]$'),
        ({}, ('cats', 'foxes'), r"classes was \['cats', 'dogs'\] and is \['cats', 'foxes'\]$"),
        ({}, (*CLASSES, 'foxes'), r"is \['cats', 'dogs', 'foxes'\]$"),
    ],
)
def test_another_architecture_is_not_loaded_and_the_difference_is_named(
    base_model, other_network, small_job, changes, classes, difference
):
    with pytest.raises(ModelError, match=difference):
        load_weights(other_network, small_job(**changes).config, classes, base_model[0])


@pytest.mark.parametrize(
    ('changes', 'sentence', 'warm'),
    [
        ({}, r'warm start from the last blessed model, .*/model$', True),
        (
            {'head': {'hidden': [8]}},
            r'no warm start: the last blessed model differs: trainer.head.hidden was \[\] and is '
            r'\[8\]; starting from .*weights.h5$',
            False,
        ),
    ],
)
def test_a_person_is_told_what_a_training_starts_from(
    base_model, small_job, changes, sentence, warm
):
    job = small_job(warm_start='latest_blessed', **changes)
    job = dataclasses.replace(job, base_model=base_model[0])
    said = io.StringIO()
    with console.output_to(said):
        _, continues = job.start()
    assert continues is warm
    assert re.search(sentence, said.getvalue().strip())


def test_without_a_blessed_model_there_is_nothing_to_load(other_network, small_job):
    with pytest.raises(ModelError, match='no model has been blessed yet'):
        load_weights(other_network, small_job().config, CLASSES, None)


def test_a_model_without_weights_is_said(tmp_path, other_network, small_job):
    serving = str(tmp_path / 'model' / 'Format-Serving')
    with pytest.raises(ModelError, match='has no weights in'):
        load_weights(other_network, small_job().config, CLASSES, serving)


def test_damaged_weights_leave_the_network_as_it_was(
    tmp_path, base_model, other_network, small_job
):
    serving = str(tmp_path / 'model' / 'Format-Serving')
    shutil.copytree(weights_folder(base_model[0]), weights_folder(serving))
    (weights_folder(serving) / 'head.weights.h5').write_bytes(b'not HDF5')
    start = weights_of(other_network)
    with pytest.raises(ModelError, match='cannot be read'):
        load_weights(other_network, small_job().config, CLASSES, serving)
    for one, other in zip(weights_of(other_network), start, strict=True):
        np.testing.assert_array_equal(one, other)
