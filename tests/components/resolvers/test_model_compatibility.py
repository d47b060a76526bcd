"""A SavedModel that is looked at before it is made the measure of another."""

import os
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from common.features import SIGNATURE_EXAMPLES
from components.resolvers.model_compatibility import why_unusable


class Doubling(tf.Module):
    def __init__(self, weight):
        self.weight = tf.Variable(np.full(8, weight, np.float32))

    @tf.function(input_signature=[tf.TensorSpec([8], tf.float32)])
    def answer(self, numbers):
        return {'probability': numbers * self.weight}


def save(folder, weight=2.0, signature=SIGNATURE_EXAMPLES):
    module = Doubling(weight)
    path = str(folder / 'Format-Serving')
    tf.saved_model.save(module, path, signatures={signature: module.answer})
    return folder


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    return save(tmp_path_factory.mktemp('whole'))


@pytest.fixture
def model(saved, tmp_path):
    """A copy of a Model artifact's folder, to be damaged."""
    return shutil.copytree(saved, tmp_path / 'model')


def test_nothing_is_wrong_with_a_model_that_is_whole(model):
    assert why_unusable(str(model)) is None


@pytest.mark.parametrize(
    ('name', 'damage', 'words'),
    [
        ('', shutil.rmtree, r'Format-Serving is gone$'),
        ('saved_model.pb', os.remove, r'saved_model.pb cannot be read: No such file or directory$'),
        ('saved_model.pb', lambda file: os.truncate(file, 900), r'saved_model.pb is damaged$'),
        ('saved_model.pb', lambda file: os.truncate(file, 0), r'pb has no signature serving_def'),
        ('variables/variables.index', os.remove, r'weights in \S+variables cannot be read \('),
        ('variables/variables.data-00000-of-00001', os.remove, r'variables cannot be read \('),
        (
            'variables/variables.data-00000-of-00001',
            lambda file: os.truncate(file, 10),
            r'variables cannot be read \(',
        ),
    ],
)
def test_a_file_that_is_missing_or_damaged_is_told(model, name, damage, words):
    damage(model / 'Format-Serving' / name)

    assert re.search(words, why_unusable(str(model)))


def test_a_weight_that_was_changed_does_not_fit_its_checksum(model):
    file = model / 'Format-Serving' / 'variables' / 'variables.data-00000-of-00001'
    contents = bytearray(file.read_bytes())
    contents[3] ^= 1
    file.write_bytes(contents)

    assert 'cannot be read' in why_unusable(str(model))


def test_a_model_without_the_signature_is_told(tmp_path):
    assert 'no signature serving_default' in why_unusable(str(save(tmp_path, signature='other')))


def test_weights_that_are_not_numbers_are_told(tmp_path):
    found = why_unusable(str(save(tmp_path, weight=np.nan)))

    assert found.endswith('variables are not numbers')


def test_an_operation_that_this_tensorflow_lacks_is_told(model):
    file = model / 'Format-Serving' / 'saved_model.pb'
    graph = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    graph.meta_graphs[0].graph_def.node.add(name='new', op='OfTomorrow')
    file.write_bytes(graph.SerializeToString())

    assert why_unusable(str(model)) == 'this TensorFlow has no operation OfTomorrow'
